// SPDX-License-Identifier: GPL-2.0-or-later
// Gathers compressed blocks until up to 14 of them fill one physical block (behaviour.md, 6).
//
// Fragments wait by size, not in bins. When too many wait, one bin is made of them: the largest,
// and then again and again the largest that still fits. So what a bin gets is chosen among
// hundreds, and the waste stays within a few per cent of the best possible.
//
// What holds here: each waiting fragment is in the queue of its size and in that of all by age, and
// sizes_ has the sizes whose queue is not empty. A fragment has memory of the packer exactly as
// long as it waits. There is always memory for one more: who takes the last makes a bin at once.
#pragma once

#include <array>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <vector>

#include "async/executor.h"
#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "base/block_arena.h"
#include "dedupe/hurry.h"
#include "depot/read_epochs.h"
#include "format/block_mapping.h"
#include "format/compressed_block.h"
#include "packer/data_writer.h"
#include "packer/size_set.h"
#include "statistics/part_statistics.h"

namespace uvdo {

/// Where full bins get their block.
class BinAllocator {
 public:
  virtual ~BinAllocator() = default;
  /// A block for a bin of `members` fragments, each of which was promised a block of its own; the
  /// promises that are not needed any more are given back.
  /// It cannot fail and does not wait: the room was promised.
  virtual Pbn allocate_bin(std::uint32_t members) = 0;
};

class Packer {
 public:
  /// How long a fragment waits for company when nobody waits for it.
  static constexpr Duration kPatience = std::chrono::seconds(1);

  /// `epochs`: of those who may refer to physical blocks. `most_waiting`: fragments that wait at a
  /// time, at least one; each takes 4 KiB.
  Packer(Executor& executor, DataWriter& writer, BinAllocator& allocator, ReadEpochs& epochs,
         std::size_t most_waiting);
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  /// One compressed block on its way: co_await it for where it went. It is in a read epoch from the
  /// moment on that its bin has a block, so that the block stays the bin's, whatever the other
  /// members do, until this is destroyed.
  class [[nodiscard]] Fragment final : public Hurry {
   public:
    /// `bytes` are copied when this is awaited. `is_urgent`: it is to wait for nobody.
    Fragment(Packer& packer, ConstBytes bytes, bool is_urgent)
        : packer_(packer), bytes_(bytes), is_urgent_(is_urgent) {}
    [[nodiscard]] static bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      handle_ = handle;
      packer_.add(*this);
      if (is_urgent_) hurry();
    }
    /// The fragment's mapping, written; or nothing: there was none to go with it, and the block is
    /// to be stored uncompressed. An error of the device otherwise.
    Result<std::optional<BlockMapping>> await_resume() {
      if (error_) return std::move(*error_);
      return location_;
    }
    /// Somebody waits for this block: it goes at once, with those that fit best.
    void hurry() override {
      if (memory_ != nullptr) packer_.write_bin_with(*this);
    }

   private:
    friend class Packer;
    struct Links {
      Fragment* before = nullptr;
      Fragment* after = nullptr;
    };
    Packer& packer_;
    ConstBytes bytes_;  // the giver's until add(), then in memory_
    bool is_urgent_;
    std::byte* memory_ = nullptr;  // of the packer's, while this waits
    Links of_size_;
    Links of_age_;
    TimePoint since_{};
    std::optional<ReadGuard> guard_;
    std::optional<BlockMapping> location_;
    std::optional<Error> error_;
    std::coroutine_handle<> handle_{};
  };

  /// Writes out all that waits: a flush or a stop waits for it.
  void flush();
  /// Runs until stop(): writes what has waited too long.
  Task<void> run();
  void stop();
  /// Waits until nothing is being written.
  Task<void> drain();
  [[nodiscard]] const PackerStatistics& counters() const { return counters_; }
  /// Bytes of memory of a packer in which so many fragments may wait.
  [[nodiscard]] static std::uint64_t memory_needed(std::size_t most_waiting) {
    return (most_waiting + kSpareBins) * kBlockSize;
  }

 private:
  // Bins that are being written before memory is taken for more: 1 MiB.
  static constexpr std::size_t kSpareBins = 256;
  /// Fragments in order of arrival.
  struct Queue {
    Fragment* first = nullptr;
    Fragment* last = nullptr;
  };
  struct Bin {
    AlignedMemory block;  // what is written
    std::array<Fragment*, kMaxFragments> members{};
    std::size_t count = 0;
  };
  static void append(Queue& queue, Fragment& fragment, Fragment::Links Fragment::*links);
  static void unlink(Queue& queue, Fragment& fragment, Fragment::Links Fragment::*links);
  void add(Fragment& fragment);
  void remove(Fragment& fragment);
  /// Needs `first` to be waiting.
  void write_bin_with(Fragment& first);
  Task<void> write(Bin bin);
  [[nodiscard]] Fragment* largest_up_to(std::size_t size);
  Bin take_spare();
  static Bin make_bin();

  Executor& executor_;
  DataWriter& writer_;
  BinAllocator& allocator_;
  ReadEpochs& epochs_;
  BlockArena memory_;  // of the fragments that wait
  SizeSet sizes_;
  std::array<Queue, kBlockSize> by_size_;
  Queue by_age_;
  std::vector<Bin> spare_;
  TaskGroup tasks_;
  Alarm alarm_;
  bool stopping_ = false;
  PackerStatistics counters_;
};

}  // namespace uvdo
