// SPDX-License-Identifier: GPL-2.0-or-later
// The requests of clients that may be in flight, bounded for all front ends of a volume together:
// what a request needs of the volume is there for that many. All belongs to the volume's thread;
// nothing here takes memory.
//
// Nobody keeps others out. Whoever waits is served in the order of arrival, and a client waits for
// one slot at a time, so that clients have their turns. None has more than half of the slots. What
// takes long takes a long slot first, of which there are half as many as slots, so that short
// requests always find some.
#pragma once

#include <cstdint>

#include "async/wait_queue.h"

namespace uvdo {

class RequestBudget {
 public:
  /// As many as dm-vdo takes (behaviour.md, 1).
  static constexpr std::uint32_t kUsual = 2048;

  class Client;

  /// At most `most` requests, 1 or more.
  RequestBudget(Executor& executor, std::uint32_t most)
      : executor_(executor),
        most_(most),
        slots_(executor, most),
        long_slots_(executor, most_of_a_client()) {
    check(most > 0, "a budget of at least one request");
  }

  [[nodiscard]] std::uint32_t most() const { return most_; }
  /// Half of all, but one at least.
  [[nodiscard]] std::uint32_t most_of_a_client() const { return (most_ + 1) / 2; }
  /// Whether somebody waits for a slot: then a client that holds one without need is at others'
  /// cost.
  [[nodiscard]] bool is_short() const { return slots_.has_waiters(); }
  /// Whether every slot is free, the long ones too.
  [[nodiscard]] bool is_idle() const {
    return slots_.available() == most_ && long_slots_.available() == most_of_a_client();
  }
  /// For tests and invariants.
  [[nodiscard]] std::uint64_t long_slots_left() const { return long_slots_.available(); }

  /// co_await budget.acquire_long(): before the slot of a request that takes long.
  [[nodiscard]] auto acquire_long() { return long_slots_.acquire(); }
  void release_long() { long_slots_.release(); }

 private:
  Executor& executor_;
  std::uint32_t most_;
  Semaphore slots_;
  Semaphore long_slots_;
};

/// The requests of one client. Must not outlive the budget, and ends with none in flight.
class RequestBudget::Client {
 public:
  explicit Client(RequestBudget& budget) : budget_(budget), ended_(budget.executor_) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { check(in_flight_ == 0, "a client leaves when its requests have ended"); }

  [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }
  /// Whether it has as many in flight as one client may; it must not ask for another then.
  [[nodiscard]] bool is_at_limit() const { return in_flight_ >= budget_.most_of_a_client(); }
  /// co_await client.one_ended(): until one of its requests has ended. Whoever is woken looks
  /// again.
  [[nodiscard]] auto one_ended() { return ended_.wait(); }

  /// co_await client.acquire(): a slot, in its turn.
  [[nodiscard]] auto acquire() {
    struct Turn : Semaphore::Awaiter {
      Turn(Semaphore& slots, std::uint32_t& requests) : Awaiter(slots, 1), in_flight(requests) {}
      std::uint32_t& in_flight;
      void await_resume() noexcept { ++in_flight; }
    };
    return Turn(budget_.slots_, in_flight_);
  }
  /// Takes a slot if there is one and nobody waits.
  [[nodiscard]] bool try_acquire() {
    if (!budget_.slots_.try_acquire()) return false;
    ++in_flight_;
    return true;
  }
  /// Gives a slot back when its request has ended. Wakes first who waits for a slot, then who waits
  /// for this client.
  void release() {
    budget_.slots_.release();
    --in_flight_;
    ended_.wake_all();
  }

 private:
  RequestBudget& budget_;
  WaitQueue ended_;
  std::uint32_t in_flight_ = 0;
};

}  // namespace uvdo
