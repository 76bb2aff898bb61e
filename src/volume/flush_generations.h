// SPDX-License-Identifier: GPL-2.0-or-later
// Which writes a flush has to wait for: those that were accepted before it, and none that come
// while it waits, however many do.
#pragma once

#include <cstddef>

#include "async/wait_queue.h"
#include "base/fault_points.h"
#include "base/generations.h"

namespace uvdo {

/// A flush closes the open generation; what comes later joins the next one.
class FlushGenerations {
 public:
  using Number = Generations::Number;

  explicit FlushGenerations(Executor& executor, FaultPoints faults = {})
      : faults_(faults), ended_(executor) {}
  /// Takes the memory for `count` flushes that wait at once now.
  void reserve(std::size_t count) { writes_.reserve(count); }

  /// A write is accepted; it gives the number back with leave().
  Number enter() { return writes_.enter(); }
  void leave(Number number) {
    if (writes_.leave(number) && !ended_.empty()) ended_.wake_all();
  }
  /// A flush comes: it waits for the writes of the returned generation and of earlier ones.
  Number begin_flush() {
    const Number last = writes_.close();
    return faults_.is_on(Fault::flush_joined_by_later_writes) ? last + 1 : last;
  }
  /// Waits until they have left.
  Task<void> wait(Number last) {
    while (!writes_.is_over(last)) co_await ended_.wait();
  }

 private:
  [[no_unique_address]] FaultPoints faults_;
  Generations writes_;
  WaitQueue ended_;  // generations did
};

}  // namespace uvdo
