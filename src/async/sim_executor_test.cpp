// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/sim_executor.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "async/testing/expected_leaks.h"
#include "async/wait_queue.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;

SimExecutorOptions plain(std::uint64_t seed, SimOrder order = SimOrder::random) {
  return {.seed = seed, .order = order, .step_cost = Duration{0}, .stall_one_in = 0};
}

Task<void> note_after_yield(SimExecutor& executor, std::vector<int>& notes, int number) {
  co_await executor.yield();
  notes.push_back(number);
}

Task<void> start_ten(SimExecutor& executor, std::vector<int>& notes) {
  TaskGroup group(executor);
  for (int i = 0; i < 10; ++i) group.start(note_after_yield(executor, notes, i));
  co_await group.wait();
}

std::vector<int> order_of(SimExecutorOptions options, std::uint64_t* hash = nullptr) {
  SimExecutor executor(options);
  std::vector<int> notes;
  EXPECT_TRUE(executor.run(start_ten(executor, notes)));
  if (hash != nullptr) *hash = executor.decision_hash();
  return notes;
}

TEST(SimExecutor, ReplaysASeedExactly) {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  EXPECT_EQ(order_of({.seed = 7}, &first), order_of({.seed = 7}, &second));
  EXPECT_EQ(first, second);
}

TEST(SimExecutor, TriesOtherOrdersWithOtherSeeds) {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) orders.insert(order_of(plain(seed)));
  EXPECT_GE(orders.size(), 19U);
}

TEST(SimExecutor, KeepsTheOrderThatIsAskedFor) {
  const std::vector<int> up{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(order_of(plain(1, SimOrder::fifo)), up);
  EXPECT_EQ(order_of(plain(1, SimOrder::lifo)), std::vector<int>(up.rbegin(), up.rend()));
}

TEST(SimExecutor, RunsLateOnesOnlyWhenNothingElseIsReady) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SimExecutor executor(plain(seed));
    int early = 0;
    int early_seen_late = -1;
    ASSERT_TRUE(executor.run([](SimExecutor& on, int& count, int& seen) -> Task<void> {
      TaskGroup group(on);
      group.start([](SimExecutor& e, int& c, int& s) -> Task<void> {
        co_await e.turn_end();
        s = c;
      }(on, count, seen));
      for (int i = 0; i < 5; ++i) {
        group.start([](SimExecutor& e, int& c) -> Task<void> {
          co_await e.yield();
          co_await e.yield();
          ++c;
        }(on, count));
      }
      co_await group.wait();
    }(executor, early, early_seen_late)));
    EXPECT_EQ(early_seen_late, 5);
  }
}

TEST(SimExecutor, JumpsToTheNextTimerInsteadOfWaiting) {
  SimExecutor executor(plain(1));
  const TimePoint begin = executor.now();
  const std::uint64_t wall = executor.wall_clock_us();
  ASSERT_TRUE(executor.run([](SimExecutor& on) -> Task<void> {
    Alarm alarm(on);
    co_await alarm.sleep(std::chrono::hours(3));
  }(executor)));
  EXPECT_EQ(executor.now() - begin, std::chrono::hours(3));
  EXPECT_EQ(executor.wall_clock_us() - wall, 10'800'000'000U);
}

TEST(SimExecutor, WakesTimersInTheOrderOfTheirDeadlines) {
  SimExecutor executor(plain(3));
  std::vector<int> woken;
  ASSERT_TRUE(executor.run([](SimExecutor& on, std::vector<int>& order) -> Task<void> {
    TaskGroup group(on);
    for (const int ms : {30, 10, 20}) {
      group.start([](SimExecutor& e, std::vector<int>& o, int after) -> Task<void> {
        Alarm alarm(e);
        co_await alarm.sleep(milliseconds(after));
        o.push_back(after);
      }(on, order, ms));
    }
    co_await group.wait();
  }(executor, woken)));
  EXPECT_EQ(woken, (std::vector<int>{10, 20, 30}));
}

TEST(SimExecutor, ARungAlarmWakesEarly) {
  SimExecutor executor(plain(3));
  const TimePoint begin = executor.now();
  ASSERT_TRUE(executor.run([](SimExecutor& on) -> Task<void> {
    Alarm alarm(on);
    TaskGroup group(on);
    group.start([](SimExecutor& e, Alarm& a) -> Task<void> {
      co_await e.yield();
      a.ring();
    }(on, alarm));
    co_await alarm.sleep(std::chrono::hours(1));
    co_await group.wait();
  }(executor)));
  EXPECT_LT(executor.now() - begin, milliseconds(1));
}

TEST(SimExecutor, ReportsADeadlockInsteadOfHanging) {
  SimExecutor executor(plain(1));
  auto* never = new Event(executor);  // outlives the abandoned coroutine that waits for it
  const SimExecutor::Outcome outcome =
      executor.run([](Event& event) -> Task<void> { co_await event.wait(); }(*never));
  EXPECT_FALSE(outcome);
  EXPECT_NE(outcome.why.find("deadlock"), std::string::npos);
  // Let the coroutine end, so that nothing is left behind.
  never->set();
  ASSERT_TRUE(executor.run([](SimExecutor& on) -> Task<void> {
    co_await on.yield();
    co_await on.turn_end();
  }(executor)));
  delete never;
}

Task<void> yield_until(SimExecutor& executor, const bool& stop) {
  int turns = 0;
  while (!stop) {
    co_await executor.yield();
    ++turns;
  }
  check(turns > 0, "the loop did not run");
}

TEST(SimExecutor, ReportsALoopThatNeverEnds) {
  SimExecutor executor(plain(1));
  bool stop = false;
  const SimExecutor::Outcome outcome = executor.run(yield_until(executor, stop), 1000);
  EXPECT_FALSE(outcome);
  EXPECT_NE(outcome.why.find("1000 steps"), std::string::npos);
  stop = true;
  ASSERT_TRUE(
      executor.run([](SimExecutor& on) -> Task<void> { co_await on.turn_end(); }(executor)));
}

TEST(SimExecutor, GivesItsProgramReproducibleRandomNumbers) {
  SimExecutor a(plain(5));
  SimExecutor b(plain(5));
  SimExecutor c(plain(6));
  const std::uint64_t number = a.random();
  EXPECT_EQ(number, b.random());
  EXPECT_NE(number, c.random());
}

TEST(SimExecutor, KnowsTheMostWorkBetweenTwoTurns) {
  for (const std::uint64_t units : {std::uint64_t{1}, std::uint64_t{100}, kTurnUnits}) {
    SimExecutorOptions options = plain(3);
    options.turn_units = units;
    SimExecutor executor(options);
    const auto outcome = executor.run([](SimExecutor& owner) -> Task<void> {
      co_await owner.yield();
      for (int i = 0; i < 50; ++i) {
        co_await owner.give_way();
        owner.spend(70);
      }
    }(executor));
    EXPECT_TRUE(outcome.finished) << outcome.why;
    EXPECT_EQ(executor.longest_turn(), std::min<std::uint64_t>((units + 69) / 70, 50) * 70);
  }
}

TEST(SimExecutor, NoticesWhoIsMadeReadyTwiceForOneWait) {
  struct Wait {
    std::coroutine_handle<>& waiter;
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { waiter = handle; }
    static void await_resume() noexcept {}
  };
  const test::ExpectedLeaks leaks;
  SimExecutor executor(plain(1));
  const auto outcome = executor.run([](SimExecutor& on) -> Task<void> {
    std::coroutine_handle<> waiter;
    TaskGroup group(on);
    group.start([](std::coroutine_handle<>& mine) -> Task<void> { co_await Wait{mine}; }(waiter));
    on.post(waiter);
    on.post(waiter);
    co_await group.wait();
  }(executor));
  EXPECT_FALSE(outcome);
  EXPECT_NE(outcome.why.find("two have woken it"), std::string::npos) << outcome.why;
}

}  // namespace
}  // namespace uvdo
