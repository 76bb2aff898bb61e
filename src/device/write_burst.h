// SPDX-License-Identifier: GPL-2.0-or-later
// Writes that are under way together, so that a pass over many blocks takes a device no longer
// than it needs for all of them side by side.
#pragma once

#include <cstdint>

#include "async/wait_queue.h"
#include "device/device.h"

namespace uvdo {

class WriteBurst {
 public:
  WriteBurst(Executor& executor, Device& device)
      : device_(device), slots_(executor, kMostAtOnce), writes_(executor) {}

  /// Starts to write `data` at byte `offset`; they stay until wait() has ended. Where many are
  /// under way it goes to the device later, so that reads in between do not wait for all.
  void write(std::uint64_t offset, ConstBytes data) { writes_.start(run(offset, data)); }
  /// Waits for all; the error of one that failed. What others wrote is there all the same.
  Task<Result<void>> wait() {
    co_await writes_.wait();
    co_return std::exchange(result_, Result<void>());
  }

 private:
  static constexpr std::uint64_t kMostAtOnce = 64;

  Task<void> run(std::uint64_t offset, ConstBytes data) {
    co_await slots_.acquire();
    auto done = co_await device_.write(offset, data);
    slots_.release();
    if (!done) result_ = std::move(done);
  }

  Device& device_;
  Semaphore slots_;
  TaskGroup writes_;
  Result<void> result_;
};

}  // namespace uvdo
