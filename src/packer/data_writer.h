// SPDX-License-Identifier: GPL-2.0-or-later
// Writes data blocks. What is asked for in one turn of the executor is gathered, and neighbours go
// to the device as one request, whoever wrote them. A batch that is large enough goes at once,
// while its data are in the processor's cache.
//
// It orders nothing: callers wait for their own blocks, and for a flush where that matters. A block
// that is being written is nobody else's, as the depot has given it to the caller.
#pragma once

#include <coroutine>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "async/executor.h"
#include "async/wait_queue.h"
#include "base/block_types.h"
#include "base/result.h"
#include "device/pbn_device.h"

namespace uvdo {

/// A block and where it goes; the 4096 bytes stay until the write has completed.
struct BlockWrite {
  Pbn pbn;
  const std::byte* data = nullptr;
};

class DataWriter {
 public:
  DataWriter(Executor& executor, PbnDevice device)
      : executor_(executor), device_(device), tasks_(executor) {
    batch_.reserve(kMaxRun);
    spare_.resize(kRuns);
    for (auto& run : spare_) run.reserve(kMaxRun);
  }
  ~DataWriter() {
    check(batch_.empty() && tasks_.running() == 0, "data blocks are still being written");
  }

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(DataWriter& writer, std::span<const BlockWrite> blocks)
        : writer_(writer), blocks_(blocks) {}
    [[nodiscard]] bool await_ready() const { return blocks_.empty(); }
    void await_suspend(std::coroutine_handle<> handle) {
      handle_ = handle;
      remaining_ = blocks_.size();
      writer_.enqueue(*this, blocks_);
    }
    Result<void> await_resume() {
      if (error_) return std::move(*error_);
      return {};
    }

   private:
    friend class DataWriter;
    DataWriter& writer_;
    std::span<const BlockWrite> blocks_;
    std::size_t remaining_ = 0;
    std::optional<Error> error_;
    std::coroutine_handle<> handle_{};
  };

  /// co_await writer.write(blocks): completes when all of them have been written (not flushed).
  Awaiter write(std::span<const BlockWrite> blocks) { return {*this, blocks}; }

  /// Waits until nothing of this runs, so that it may go. A batch that went at once leaves somebody
  /// behind who comes at the turn's end and finds nothing to send.
  Task<void> wait_idle() { return tasks_.wait(); }

  [[nodiscard]] std::uint64_t blocks_written() const { return blocks_written_; }
  [[nodiscard]] std::uint64_t requests() const { return requests_; }
  /// Bytes of memory that one keeps for its runs.
  [[nodiscard]] static constexpr std::uint64_t memory_needed() {
    return kRuns * kMaxRun * sizeof(Item);
  }

 private:
  static constexpr std::size_t kMaxRun = 120;
  static constexpr std::size_t kRuns = 512;   // under way before memory is taken for more
  static constexpr std::size_t kEnough = 64;  // blocks that don't wait for the turn's end
  struct Item {
    Pbn pbn;
    const std::byte* data;
    Awaiter* owner;
  };
  /// The awaiter is in the frame of who waits, and so outlives the write.
  void enqueue(Awaiter& owner, std::span<const BlockWrite> blocks);
  Task<void> send_at_turn_end();
  /// Starts the writes of all that has gathered; of nothing, if it went before.
  void send_batch();
  Task<void> write_run(std::vector<Item> run);

  Executor& executor_;
  PbnDevice device_;
  TaskGroup tasks_;
  std::vector<Item> batch_;
  std::vector<std::vector<Item>> spare_;  // memory for runs
  bool sends_at_turn_end_ = false;
  std::uint64_t blocks_written_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace uvdo
