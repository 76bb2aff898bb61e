// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/room_gate.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

namespace uvdo {
namespace {

// Between two attempts of the first in the queue: twice as long each time.
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kLongestPause = std::chrono::seconds(1);
/// For who is woken when it is worth it.
constexpr Duration kUntilWoken = std::chrono::hours(1);
/// Before it is said again that writes are refused, whatever the time limit is.
constexpr Duration kShortestLimit = std::chrono::seconds(1);
/// Where patience is limited.
constexpr Duration kLimitedPatience = std::chrono::seconds(10);
/// Woken at once when one has found room: each success lets twice as many try.
constexpr std::uint64_t kMostEncouraged = 64;

/// co_await: carries a request out on the device below; its errno.
struct Attempt {
  Attempt(Device& below, const Device::Request& from) : device(below), request(from) {
    request.waiter = {};
    request.next = nullptr;
  }
  bool await_ready() {
    device.submit(request);
    return request.done;
  }
  void await_suspend(std::coroutine_handle<> handle) {
    was_suspended = true;
    request.waiter = handle;
  }
  [[nodiscard]] int await_resume() const { return request.error; }

  Device& device;
  Device::Request request;
  bool was_suspended = false;
};

}  // namespace

/// EFBIG: a limit of the process or the file system, which somebody may raise as well.
bool is_no_room(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

std::string_view name_of(RoomGate::State state) {
  switch (state) {
    case RoomGate::State::open: return "open";
    case RoomGate::State::waiting: return "waiting";
    case RoomGate::State::refusing: return "refusing";
    case RoomGate::State::given_up: return "given up";
  }
  return "open";
}

/// A write that has found no room, in the frame of carry_out(). Only the first tries by the clock;
/// the others are rung for.
struct RoomGate::Waiting {
  Waiting(Executor& executor, std::uint64_t length) : alarm(executor), bytes(length) {}
  Alarm alarm;
  std::uint64_t bytes;
  Waiting* previous = nullptr;
  Waiting* next = nullptr;
};

void RoomGate::submit(Request& request) {
  if (request.op == Op::write || request.op == Op::write_zeroes) {
    carry_out(request);
  } else if (request.op == Op::discard && state_ == State::given_up) {
    // Nothing changes the device any more.
    request.error = ENOSPC;
    request.done = true;
  } else {
    device_.submit(request);
  }
}

detail::Detached RoomGate::carry_out(Request& request) {
  bool has_waited = false;  // and submit() has returned
  std::optional<Waiting> place;
  int error = ENOSPC;
  while (state_ != State::given_up) {
    Attempt attempt(device_, request);
    error = co_await attempt;
    // Once submit() has returned the answer goes by way of the executor.
    has_waited |= attempt.was_suspended;
    if (!is_no_room(error)) break;
    last_error_ = error;
    if (!place) {
      place.emplace(executor_, request.length);
      link(*place);
    } else {
      encouraged_ = 1;
      if (first_ == &*place) pause_ = std::min(pause_ * 2, kLongestPause);
    }
    look_at_clock();
    if (state_ == State::given_up) break;
    has_waited = true;
    co_await place->alarm.sleep(first_ == &*place ? pause_of_first() : kUntilWoken);
    look_at_clock();
  }
  if (place) unlink(*place, !is_no_room(error));
  // Above there is one word for it.
  request.error = is_no_room(error) ? ENOSPC : error;
  if (has_waited) {
    executor_.post(request.waiter);
  } else {
    request.done = true;
  }
}

void RoomGate::link(Waiting& waiting) {
  waiting.previous = last_;
  (last_ == nullptr ? first_ : last_->next) = &waiting;
  last_ = &waiting;
  ++waiting_writes_;
  waiting_bytes_ += waiting.bytes;
  // The first one: a shortage begins.
  if (state_ != State::open) return;
  ++shortages_;
  pause_ = kFirstPause;
  encouraged_ = 1;
  short_since_ = executor_.now();
  deadline_ = next_deadline();
  enter(State::waiting);
}

void RoomGate::unlink(Waiting& waiting, bool found_room) {
  (waiting.previous == nullptr ? first_ : waiting.previous->next) = waiting.next;
  (waiting.next == nullptr ? last_ : waiting.next->previous) = waiting.previous;
  --waiting_writes_;
  waiting_bytes_ -= waiting.bytes;
  if (state_ == State::given_up) return;
  if (found_room) {
    pause_ = kFirstPause;
    encouraged_ = std::min(encouraged_ * 2, kMostEncouraged);
  }
  if (first_ == nullptr) {
    enter(State::open);
  } else {
    ring(encouraged_);
  }
}

TimePoint RoomGate::next_deadline() const {
  const bool is_limited = patience_ == Patience::limited;
  return executor_.now() + (is_limited ? std::min(time_limit_, kLimitedPatience) : time_limit_);
}

/// Not beyond the deadline, at which it has to look at the clock.
Duration RoomGate::pause_of_first() const {
  const Duration until_deadline = deadline_ - executor_.now();
  return std::max(Duration{0}, std::min(pause_, until_deadline));
}

void RoomGate::look_at_clock() {
  if (first_ == nullptr || state_ == State::given_up) return;
  const TimePoint now = executor_.now();
  if (now < deadline_) return;
  if (patience_ == Patience::limited) {
    enter(State::given_up);
    ring(waiting_writes_);
    return;
  }
  deadline_ = now + std::max(time_limit_, kShortestLimit);
  enter(State::refusing);
}

void RoomGate::set_patience(Patience patience) {
  patience_ = patience;
  if (first_ == nullptr || patience == Patience::endless) return;
  deadline_ = next_deadline();
  ring(1);
}

void RoomGate::set_time_limit(Duration limit) {
  time_limit_ = limit;
  if (state_ != State::waiting) return;
  deadline_ = next_deadline();
  ring(1);
}

void RoomGate::enter(State state) {
  state_ = state;
  changed_.wake_all();
  if (on_state_) on_state_(state);
}

void RoomGate::ring(std::uint64_t count) {
  for (Waiting* waiting = first_; waiting != nullptr && count > 0; waiting = waiting->next) {
    waiting->alarm.ring();
    --count;
  }
}

}  // namespace uvdo
