// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/sim_executor.h"

#include <algorithm>
#include <memory>

#include <fmt/core.h>

namespace uvdo {
namespace {

// The origins of the virtual clocks: any fixed values, far from zero so that differences that go
// wrong are seen. The wall clock starts in 2024.
constexpr TimePoint kOrigin{std::chrono::hours(1)};
constexpr std::uint64_t kWallClockOriginUs = 1'704'067'200'000'000;
// How many steps one order lasts under SimOrder::mixed, at most.
constexpr std::uint64_t kLongestSpell = 400;
// A turn has an end also where somebody is always ready, as clients are that never pause.
constexpr std::uint64_t kLongestTurn = 10'000;

}  // namespace

SimExecutor::SimExecutor(SimExecutorOptions options)
    : Executor(options.turn_units),
      options_(options),
      schedule_(mix_bits(options.seed) ^ 1U),
      program_random_(mix_bits(options.seed) ^ 2U),
      streams_(mix_bits(options.seed) ^ 3U),
      order_now_(options.order == SimOrder::mixed ? SimOrder::random : options.order),
      now_(kOrigin) {}

std::uint64_t SimExecutor::wall_clock_us() {
  return kWallClockOriginUs +
         static_cast<std::uint64_t>(
             std::chrono::duration_cast<std::chrono::microseconds>(now_ - kOrigin).count());
}

/// For heaps with the earliest in front; at equal times with the one that came first.
bool SimExecutor::later(const Call& a, const Call& b) {
  return a.when != b.when ? a.when > b.when : a.number > b.number;
}

bool SimExecutor::later_timer(const Armed& a, const Armed& b) {
  return a.when != b.when ? a.when > b.when : a.number > b.number;
}

void SimExecutor::arm(Timer& timer) {
  check(!timer.armed, "a timer is armed once");
  timer.armed = true;
  timers_.push_back({timer.deadline, next_number_++, &timer});
  std::push_heap(timers_.begin(), timers_.end(), later_timer);
}

void SimExecutor::disarm(Timer& timer) {
  if (!timer.armed) return;
  timer.armed = false;
  std::erase_if(timers_, [&](const Armed& armed) { return armed.timer == &timer; });
  std::make_heap(timers_.begin(), timers_.end(), later_timer);
}

void SimExecutor::call_at(TimePoint when, Callback function, void* context,
                          std::uint64_t argument) {
  calls_.push_back({when, next_number_++, function, context, argument});
  std::push_heap(calls_.begin(), calls_.end(), later);
}

bool SimExecutor::become_ready(std::coroutine_handle<> handle) {
  // By the frame. Who is resumed twice for one wait may have ended at the second time.
  bool& is_posted = posted_.insert(reinterpret_cast<std::uintptr_t>(handle.address()), false);
  if (is_posted) {
    was_posted_twice_ = true;
    return false;
  }
  return is_posted = true;
}

TimePoint SimExecutor::next_due() const {
  TimePoint due = TimePoint::max();
  if (!calls_.empty()) due = calls_.front().when;
  if (!timers_.empty()) due = std::min(due, timers_.front().when);
  return due;
}

void SimExecutor::fire_due() {
  while (!timers_.empty() && timers_.front().when <= now_) {
    std::pop_heap(timers_.begin(), timers_.end(), later_timer);
    Timer* timer = timers_.back().timer;
    timers_.pop_back();
    timer->armed = false;
    post(timer->waiter);
  }
  while (!calls_.empty() && calls_.front().when <= now_) {
    std::pop_heap(calls_.begin(), calls_.end(), later);
    const Call call = calls_.back();
    calls_.pop_back();
    call.function(call.context, call.argument);
  }
}

std::coroutine_handle<> SimExecutor::take_ready() {
  const std::size_t count = ready_.size() - ready_head_;
  if (options_.order == SimOrder::mixed && schedule_.chance(2, kLongestSpell)) {
    // One of fifo, lifo and random.
    order_now_ = static_cast<SimOrder>(schedule_.below(3));
  }
  std::coroutine_handle<> taken;
  if (order_now_ == SimOrder::fifo) {
    taken = ready_[ready_head_++];
  } else {
    const std::size_t choice =
        ready_head_ + (order_now_ == SimOrder::lifo ? count - 1 : schedule_.below(count));
    // Whatever was decided by chance is part of the run's fingerprint.
    fold(choice - ready_head_);
    taken = ready_[choice];
    ready_[choice] = ready_.back();
    ready_.pop_back();
  }
  if (ready_head_ == ready_.size()) {
    ready_.clear();
    ready_head_ = 0;
  } else if (ready_head_ > 4096) {
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(ready_head_));
    ready_head_ = 0;
  }
  fold(count);
  return taken;
}

void SimExecutor::take_step(std::coroutine_handle<> handle) {
  ++steps_;
  longest_turn_ = longest_turn();
  begin_turn();
  if (on_step_) on_step_();
  now_ += options_.step_cost;
  if (options_.stall_one_in != 0 && schedule_.chance(1, options_.stall_one_in)) {
    // The coroutine comes back later: what it would have done now happens after much else.
    const Duration stall{
        schedule_.below(static_cast<std::uint64_t>(options_.longest_stall.count()))};
    call_at(
        now_ + stall,
        [](void* context, std::uint64_t argument) {
          auto* executor = static_cast<SimExecutor*>(context);
          executor->ready_.push_back(
              std::coroutine_handle<>::from_address(reinterpret_cast<void*>(argument)));
        },
        this, reinterpret_cast<std::uint64_t>(handle.address()));
    return;
  }
  posted_.erase(reinterpret_cast<std::uintptr_t>(handle.address()));
  handle.resume();
}

SimExecutor::Outcome SimExecutor::run(Task<void> main, std::uint64_t step_limit) {
  // Shared with the coroutine, which outlives this call if the run is given up.
  const auto ended = std::make_shared<bool>(false);
  const std::uint64_t last_step = steps_ + step_limit;
  spawn([](Task<void> task, std::shared_ptr<bool> done) -> Task<void> {
    co_await std::move(task);
    *done = true;
  }(std::move(main), ended));
  while (!*ended) {
    if (was_posted_twice_) {
      return {false, fmt::format("after {} steps a coroutine was made ready that was so already: "
                                 "two have woken it for one wait",
                                 steps_)};
    }
    if (steps_ >= last_step) {
      return {false,
              fmt::format(
                  "still busy after {} steps, at {} ms of virtual time: probably a "
                  "loop that waits for something that never comes",
                  step_limit,
                  std::chrono::duration_cast<std::chrono::milliseconds>(now_ - kOrigin).count())};
    }
    if (next_due() <= now_) fire_due();
    const bool is_turn_long = !late_.empty() && steps_ - late_since_ > kLongestTurn;
    if (has_ready() && !is_turn_long) {
      take_step(take_ready());
    } else if (!late_.empty()) {
      late_since_ = steps_;
      const std::size_t choice = schedule_.below(late_.size());
      fold(choice);
      const std::coroutine_handle<> handle = late_[choice];
      late_[choice] = late_.back();
      late_.pop_back();
      take_step(handle);
    } else {
      // Nobody can run: time passes, which costs nothing here.
      const TimePoint due = next_due();
      if (due == TimePoint::max()) {
        return {false, fmt::format("deadlock after {} steps: coroutines wait, but nothing is "
                                   "ready, and no timer or I/O is under way",
                                   steps_)};
      }
      now_ = due;
      fold(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    }
  }
  return {true, {}};
}

void SimExecutor::trace(std::string_view line) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now_ - kOrigin).count();
  trace_(fmt::format("{:>10} us  {}", us, line));
}

}  // namespace uvdo
