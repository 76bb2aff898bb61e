// SPDX-License-Identifier: GPL-2.0-or-later
// The interface through which coroutines get their turns, the time and randomness. The program
// runs on UringLoop, the deterministic tests on SimExecutor; nothing above asks the system itself.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>

#include "async/task.h"

namespace uvdo {

using Duration = std::chrono::nanoseconds;
/// A point of the executor's clock. It never goes back; its origin means nothing.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// Who waits for a time: a part of an Alarm, which keeps it in place while it is armed.
struct Timer {
  TimePoint deadline{};
  std::coroutine_handle<> waiter{};
  bool armed = false;
};

/// Work that a turn has room for, in units of some 10 ns (an entry of a map page that is looked
/// at): a millisecond. Counted and not timed, so that a simulation can hold the engine to it.
inline constexpr std::uint64_t kTurnUnits = 100'000;

/// One thread's scheduler. All calls come from that thread.
///
/// What serves many clients on one thread gives way: work that grows with the length of a request
/// or the size of the volume is counted by spend(), and between its pieces stands
/// `co_await give_way()`. Those who gave way go on one after the other, in order, behind what is
/// ready and what has come back from the system meanwhile.
class Executor {
 public:
  explicit Executor(std::uint64_t turn_units = kTurnUnits) : turn_units_(turn_units) {}
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;

  /// Resumes `handle` soon, never inside this call.
  virtual void post(std::coroutine_handle<> handle) = 0;
  /// Resumes `handle` when all that is ready now has run: the place where batches are sent off.
  virtual void post_late(std::coroutine_handle<> handle) = 0;
  /// Resumes `handle` in a later turn, after what is ready then, and in the order of the calls.
  virtual void post_behind(std::coroutine_handle<> handle) = 0;
  /// Monotonic time.
  [[nodiscard]] virtual TimePoint now() = 0;
  /// Wall-clock time in microseconds since 1970.
  [[nodiscard]] virtual std::uint64_t wall_clock_us() = 0;
  /// A random number; reproducible in a simulation.
  virtual std::uint64_t random() = 0;

  /// co_await executor.yield(): lets everything else that is ready run first.
  auto yield() {
    struct Awaiter {
      Executor& executor;
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const { executor.post(handle); }
      static void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }
  /// Counts work of this turn.
  void spend(std::uint64_t units) { spent_ += units; }
  /// Whether this turn has had its share of work.
  [[nodiscard]] bool is_turn_over() const { return spent_ >= turn_units_; }
  /// co_await executor.give_way(): before a piece of long work; in a later turn, if this one is
  /// over. With `wanted` false it never waits.
  auto give_way(bool wanted = true) {
    struct Awaiter {
      Executor& executor;
      bool wanted;
      [[nodiscard]] bool await_ready() const noexcept {
        return !wanted || !executor.is_turn_over();
      }
      void await_suspend(std::coroutine_handle<> handle) const { executor.post_behind(handle); }
      static void await_resume() noexcept {}
    };
    return Awaiter{*this, wanted};
  }
  /// co_await executor.next_turn(): before a piece of work that takes about a turn by itself.
  auto next_turn() {
    struct Awaiter {
      Executor& executor;
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const { executor.post_behind(handle); }
      static void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }
  /// co_await executor.turn_end(): goes on at the end of this turn (see post_late).
  auto turn_end() {
    struct Awaiter {
      Executor& executor;
      static bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const { executor.post_late(handle); }
      static void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }

 protected:
  void begin_turn() { spent_ = 0; }
  [[nodiscard]] std::uint64_t spent() const { return spent_; }

 private:
  // A timer wakes whoever waits, and so does what he waits for: only one of the two may. So nobody
  // but Alarm, which sees to that, has to do with timers.
  friend class Alarm;
  /// Resumes timer.waiter at timer.deadline, unless disarmed before.
  virtual void arm(Timer& timer) = 0;
  virtual void disarm(Timer& timer) = 0;

  std::uint64_t turn_units_;
  std::uint64_t spent_ = 0;
};

}  // namespace uvdo
