// SPDX-License-Identifier: GPL-2.0-or-later
// Gathers compressed blocks until up to 14 of them fill one physical block (vdo-behaviour.md, 6).
#pragma once

#include <array>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "async/executor.h"
#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "dedupe/hurry.h"
#include "format/block_mapping.h"
#include "format/compressed_block.h"
#include "packer/data_writer.h"

namespace uvdo {

struct PackerCounters {
  std::uint64_t fragments_written = 0;
  std::uint64_t blocks_written = 0;
  std::uint64_t fragments_in_packer = 0;
};

/// Where full bins get their block.
class BinAllocator {
 public:
  virtual ~BinAllocator() = default;
  /// A block for a bin of `members` fragments, each of which was promised a block of its own; the
  /// promises that are not needed any more are given back.
  virtual Pbn allocate_bin(std::uint32_t members) = 0;
};

class Packer {
 public:
  static constexpr std::size_t kBins = 16;
  /// How long a fragment waits for company when nobody waits for it.
  static constexpr Duration kPatience = std::chrono::milliseconds(10);

  Packer(Executor& executor, DataWriter& writer, BinAllocator& allocator);
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  /// One compressed block on its way: co_await it for where it went.
  class [[nodiscard]] Fragment final : public Hurry {
   public:
    Fragment(Packer& packer, ConstBytes bytes) : packer_(packer), bytes_(bytes) {}
    [[nodiscard]] bool await_ready() { return !packer_.add(*this); }
    void await_suspend(std::coroutine_handle<> handle) { handle_ = handle; }
    /// The fragment's mapping, written; or nothing: the block is to be stored uncompressed (it has
    /// found no company, or somebody could not wait). An error of the device otherwise.
    Result<std::optional<BlockMapping>> await_resume() {
      if (error_) return std::move(*error_);
      return location_;
    }
    /// Somebody waits for this block: it leaves the packer at once, uncompressed.
    void hurry() override { packer_.eject(*this); }

   private:
    friend class Packer;
    Packer& packer_;
    ConstBytes bytes_;  // until add() has copied them
    std::size_t size_ = 0;
    int bin_ = -1;
    std::optional<BlockMapping> location_;
    std::optional<Error> error_;
    std::coroutine_handle<> handle_{};
  };

  /// Writes out all bins: a flush or a stop waits for what is in them.
  void flush();
  /// While raised (nested), fragments are not kept for longer than a turn.
  void raise_urgency() {
    ++urgency_;
    flush();
  }
  void lower_urgency() { --urgency_; }
  /// Runs until stop(): writes bins that have waited too long.
  Task<void> run();
  void stop();
  /// Waits until nothing is being written.
  Task<void> drain();
  [[nodiscard]] const PackerCounters& counters() const { return counters_; }

 private:
  struct Bin {
    AlignedMemory bytes;  // fragments, one after the other
    AlignedMemory block;  // what is written
    std::vector<Fragment*> members;
    std::size_t used = 0;
    TimePoint since{};
  };
  bool add(Fragment& fragment);
  void eject(Fragment& fragment);
  void put(Bin& bin, Fragment& fragment);
  void write(Bin& bin);
  Task<void> write_bin(Bin bin);
  Task<void> flush_at_turn_end();
  Bin take_spare();
  void dismiss(Fragment& fragment);

  Executor& executor_;
  DataWriter& writer_;
  BinAllocator& allocator_;
  std::array<Bin, kBins> bins_;
  std::vector<Bin> spare_;
  TaskGroup tasks_;
  Alarm alarm_;
  unsigned urgency_ = 0;
  bool flush_planned_ = false;
  bool stopping_ = false;
  PackerCounters counters_;
};

}  // namespace uvdo
