// SPDX-License-Identifier: GPL-2.0-or-later
// Growths, suspensions and resumptions of a volume, and its stop: one at a time, in the order in
// which they came.
#pragma once

#include "async/wait_queue.h"
#include "volume/request_gate.h"

namespace uvdo {

/// A turn is held from begin() to end(), over all waits in between.
class Administration {
 public:
  explicit Administration(Executor& executor) : turn_(executor, 1), under_way_(executor) {}

  /// Held by who changes the volume, from begin() to end().
  auto begin() { return turn_.acquire(); }
  void end() { turn_.release(); }
  /// Counts those that wait for their turn, and what is left of those that were refused.
  RequestGate& under_way() { return under_way_; }
  /// Waits until the one under way has ended, and all that came before.
  Task<void> drain() {
    co_await begin();
    end();
    co_await under_way_.drain();
  }

 private:
  Semaphore turn_;
  RequestGate under_way_;
};

}  // namespace uvdo
