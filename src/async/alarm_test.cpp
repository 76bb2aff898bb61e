// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/alarm.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "async/testing/expected_leaks.h"
#include "async/wait_queue.h"

namespace uvdo {
namespace {

using std::chrono::microseconds;

/// Sleeps twice, and says when each sleep has ended.
Task<void> sleep_twice(SimExecutor& on, Alarm& alarm, std::vector<TimePoint>& woken) {
  co_await alarm.sleep(microseconds(10));
  woken.push_back(on.now());
  co_await alarm.sleep(microseconds(10));
  woken.push_back(on.now());
}

/// A ring at a time before, at or after the end of the first sleep.
SimExecutor::Outcome ring_at(Duration when, FaultPoints faults, std::vector<TimePoint>& woken) {
  SimExecutor executor(
      {.seed = 1, .order = SimOrder::fifo, .step_cost = Duration{0}, .stall_one_in = 0});
  return executor.run([](SimExecutor& on, Duration delay, FaultPoints mistake,
                         std::vector<TimePoint>& times) -> Task<void> {
    Alarm alarm(on, mistake);
    Alarm clock(on);
    TaskGroup sleepers(on);
    // The clock is armed first, so that at equal times it has the first turn: the sleeper's time is
    // up then, and he has not had his turn yet.
    sleepers.start([](Alarm& other, Alarm& mine, Duration delay_of_ring) -> Task<void> {
      co_await mine.sleep(delay_of_ring);
      other.ring();
    }(alarm, clock, delay));
    sleepers.start(sleep_twice(on, alarm, times));
    co_await sleepers.wait();
  }(executor, when, faults, woken));
}

TEST(Alarm, WakesOnceWhenItsTimeIsUpAndItIsRungBeforeTheSleepersTurn) {
  std::vector<TimePoint> woken;
  const auto outcome = ring_at(microseconds(10), {}, woken);
  ASSERT_TRUE(outcome) << outcome.why;
  ASSERT_EQ(woken.size(), 2U);
  EXPECT_EQ(woken[1] - woken[0], microseconds(10)) << "that ring was for the first sleep";
}

TEST(Alarm, WakesEarlyWhenItIsRungEarly) {
  std::vector<TimePoint> woken;
  const auto outcome = ring_at(microseconds(4), {}, woken);
  ASSERT_TRUE(outcome) << outcome.why;
  EXPECT_EQ(woken[1] - woken[0], microseconds(10));
}

TEST(Alarm, ThatWokeTwiceWouldBeNoticed) {
  if (!FaultPoints::kPossible) GTEST_SKIP() << "this build makes no mistakes";
  const test::ExpectedLeaks leaks;
  std::vector<TimePoint> woken;
  EXPECT_FALSE(ring_at(microseconds(10), FaultPoints(Fault::sleeper_posted_twice), woken));
}

}  // namespace
}  // namespace uvdo
