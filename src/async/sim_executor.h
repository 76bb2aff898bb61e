// SPDX-License-Identifier: GPL-2.0-or-later
// The executor of the deterministic simulation: one thread, virtual time, and a seed that decides
// which ready coroutine runs next. The same seed and program give the same run, step by step; a
// running hash of all decisions proves it.
//
// Nothing here may depend on addresses, on the machine's clock or on its random numbers.
#pragma once

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "async/executor.h"
#include "async/sim_random.h"
#include "async/task.h"
#include "base/flat_map.h"

namespace uvdo {

/// The order in which ready coroutines get their turns.
enum class SimOrder : std::uint8_t {
  random,  ///< any of them
  fifo,    ///< the oldest, as the real loop does
  lifo,    ///< the newest: old ones starve as long as there is anything else
  mixed,   ///< changes between the three from time to time
};

struct SimExecutorOptions {
  std::uint64_t seed = 1;
  SimOrder order = SimOrder::mixed;
  /// Virtual time that one step takes, so that I/O completes while coroutines are still ready.
  Duration step_cost{200};
  /// One step in so many is put off by up to `longest_stall`, as a thread that lost its processor;
  /// 0 is never.
  std::uint64_t stall_one_in = 512;
  Duration longest_stall{100'000};
  /// What a turn has room for (Executor::give_way()): the less, the more often long work stops.
  std::uint64_t turn_units = kTurnUnits;
};

class SimExecutor final : public Executor {
 public:
  using Callback = void (*)(void* context, std::uint64_t argument);

  /// How a run ended.
  struct Outcome {
    bool finished = false;
    std::string why;  ///< if not finished: a sentence that says what stands still
    explicit operator bool() const { return finished; }
  };

  explicit SimExecutor(SimExecutorOptions options);

  void post(std::coroutine_handle<> handle) override {
    if (become_ready(handle)) ready_.push_back(handle);
  }
  void post_late(std::coroutine_handle<> handle) override {
    if (late_.empty()) late_since_ = steps_;
    if (become_ready(handle)) late_.push_back(handle);
  }
  void post_behind(std::coroutine_handle<> handle) override { post(handle); }
  [[nodiscard]] TimePoint now() override { return now_; }
  [[nodiscard]] std::uint64_t wall_clock_us() override;
  std::uint64_t random() override { return program_random_.next(); }

  /// Calls `function(context, argument)` at virtual time `when`; how simulated devices complete.
  void call_at(TimePoint when, Callback function, void* context, std::uint64_t argument);

  /// Runs `main` and all that it starts until `main` has ended. Gives up when nothing can make
  /// progress or `step_limit` is reached, or somebody is made ready who is so already: two wake him
  /// for one wait. What then still waits is abandoned as it is.
  Outcome run(Task<void> main, std::uint64_t step_limit = 50'000'000);

  /// Steps so far; grows by one with each coroutine resumed.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  /// The most work that was done in one step, in the units of Executor::spend().
  [[nodiscard]] std::uint64_t longest_turn() const { return std::max(longest_turn_, spent()); }
  /// Called before each step, for those who count what happens in one.
  void on_step(std::function<void()> f) { on_step_ = std::move(f); }
  /// A hash of every decision so far: equal hashes mean equal runs.
  [[nodiscard]] std::uint64_t decision_hash() const { return hash_; }
  /// Mixes what somebody else decided (an I/O, a result) into the hash.
  void fold(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001B3U; }
  /// A stream of random numbers for a part of the simulation, derived from the seed.
  [[nodiscard]] SimRandom fork_random() { return streams_.fork(); }

  /// Where trace lines go; without one they cost nothing.
  void set_trace(std::function<void(std::string_view)> trace) { trace_ = std::move(trace); }
  [[nodiscard]] bool is_tracing() const { return static_cast<bool>(trace_); }
  /// Passes a line on, with the virtual time in front. Call only if is_tracing().
  void trace(std::string_view line);

 private:
  struct Call {
    TimePoint when;
    std::uint64_t number;  // calls due at one time go in the order in which they were asked for
    Callback function;
    void* context;
    std::uint64_t argument;
  };
  struct Armed {
    TimePoint when;
    std::uint64_t number;
    Timer* timer;
  };
  static bool later(const Call& a, const Call& b);
  static bool later_timer(const Armed& a, const Armed& b);

  void arm(Timer& timer) override;
  void disarm(Timer& timer) override;
  /// False if it has not been resumed since it became ready last.
  bool become_ready(std::coroutine_handle<> handle);
  [[nodiscard]] bool has_ready() const { return ready_.size() > ready_head_; }
  std::coroutine_handle<> take_ready();
  void take_step(std::coroutine_handle<> handle);
  [[nodiscard]] TimePoint next_due() const;
  void fire_due();

  SimExecutorOptions options_;
  SimRandom schedule_;
  SimRandom program_random_;
  SimRandom streams_;
  SimOrder order_now_ = SimOrder::random;
  TimePoint now_{};
  std::uint64_t steps_ = 0;
  std::uint64_t longest_turn_ = 0;
  std::uint64_t hash_ = 0xCBF29CE484222325U;
  std::uint64_t next_number_ = 0;
  std::size_t ready_head_ = 0;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> late_;
  std::uint64_t late_since_ = 0;  // the step when the first of them came
  // Those that are posted and not yet resumed, by address: only asked, never walked over.
  FlatMap<bool> posted_{256};
  bool was_posted_twice_ = false;
  std::vector<Call> calls_;    // a heap, the earliest first
  std::vector<Armed> timers_;  // likewise
  std::function<void(std::string_view)> trace_;
  std::function<void()> on_step_;
};

}  // namespace uvdo
