// SPDX-License-Identifier: GPL-2.0-or-later
// The one way to wait with a time limit: a sleep that can be cut short. Whatever may come first,
// the time or the event, the sleeper is woken once.
#pragma once

#include "async/executor.h"
#include "base/fault_points.h"

namespace uvdo {

/// For one sleeper at a time. Lives at least as long as anybody may sleep on it or ring.
class Alarm {
 public:
  /// `faults`: mistakes to be made on purpose, in tests.
  explicit Alarm(Executor& executor, FaultPoints faults = {})
      : executor_(executor), faults_(faults) {}
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm() { check(!timer_.waiter, "an alarm was destroyed while somebody sleeps on it"); }

  /// co_await alarm.sleep(d): waits for `d` or until ring(). A ring() that came while nobody slept
  /// ends the next sleep at once.
  auto sleep(Duration duration) {
    struct Awaiter {
      Alarm& alarm;
      Duration duration;
      [[nodiscard]] bool await_ready() const noexcept { return alarm.rung_; }
      void await_suspend(std::coroutine_handle<> handle) const {
        check(!alarm.timer_.waiter, "an alarm has one sleeper");
        alarm.timer_.waiter = handle;
        alarm.timer_.deadline = alarm.executor_.now() + duration;
        alarm.executor_.arm(alarm.timer_);
      }
      void await_resume() const noexcept {
        alarm.rung_ = false;
        alarm.timer_.waiter = {};
      }
    };
    return Awaiter{*this, duration};
  }
  void ring() {
    rung_ = true;
    // A timer that is not armed any more has woken the sleeper already, who may not have had his
    // turn yet.
    if (timer_.armed) {
      executor_.disarm(timer_);
    } else if (!timer_.waiter || !faults_.is_on(Fault::sleeper_posted_twice)) {
      return;
    }
    executor_.post(timer_.waiter);
  }

 private:
  Executor& executor_;
  [[no_unique_address]] FaultPoints faults_;
  Timer timer_;
  bool rung_ = false;
};

}  // namespace uvdo
