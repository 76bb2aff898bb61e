// SPDX-License-Identifier: GPL-2.0-or-later
// Writes that are under way together, so that a pass over many blocks takes a device no longer
// than it needs for all of them side by side.
#pragma once

#include <cstdint>

#include "async/wait_queue.h"
#include "device/pbn_device.h"

namespace uvdo {

class WriteBurst {
 public:
  WriteBurst(Executor& executor, PbnDevice device)
      : device_(device), slots_(executor, kMostAtOnce), writes_(executor) {}

  /// Starts to write whole blocks from `first` on; they stay until wait() has ended. Where many are
  /// under way it goes to the device later, so that reads in between do not wait for all.
  void write(Pbn first, ConstBytes blocks) { writes_.start(run(first, blocks)); }
  /// Waits for all; the error of one that failed. What others wrote is there all the same.
  Task<Result<void>> wait() {
    co_await writes_.wait();
    co_return std::exchange(result_, Result<void>());
  }

 private:
  static constexpr std::uint64_t kMostAtOnce = 64;

  Task<void> run(Pbn first, ConstBytes blocks) {
    co_await slots_.acquire();
    auto done = co_await device_.write(first, blocks);
    slots_.release();
    if (!done) result_ = std::move(done);
  }

  PbnDevice device_;
  Semaphore slots_;
  TaskGroup writes_;
  Result<void> result_;
};

}  // namespace uvdo
