// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/work_thread.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/testing/work_thread_fixture.h"

namespace uvdo {
namespace {

class WorkThreadTest : public test::WorkThreadFixture {};

TEST_F(WorkThreadTest, CoroutinesGoThereAndComeBack) {
  // Not std::this_thread::get_id(): Clang keeps its value over a co_await.
  const pid_t home = gettid();
  pid_t there = 0;
  pid_t back = 0;
  loop_->run([](WorkThread& work, pid_t& in, pid_t& out) -> Task<void> {
    co_await work.enter();
    in = gettid();
    co_await work.leave();
    out = gettid();
  }(*work_, there, back));
  EXPECT_NE(there, home);
  EXPECT_EQ(back, home);
}

TEST_F(WorkThreadTest, ManyArriveInTheOrderInWhichTheyWentAlsoAfterPauses) {
  // Unprotected on purpose: each belongs to one thread at a time, which TSan checks.
  std::vector<int> order;
  std::vector<int> sums(1000);
  loop_->run([](UringLoop& loop, WorkThread& work, std::vector<int>& arrived,
                std::vector<int>& results) -> Task<void> {
    const auto visit = [](WorkThread& place, int number, std::vector<int>& seen,
                          int& result) -> Task<void> {
      const int twice = number * 2;
      co_await place.enter();
      seen.push_back(number);
      const int sum = twice + number;
      co_await place.leave();
      result = sum;
    };
    TaskGroup visits(loop);
    for (int i = 0; i < 1000; ++i) {
      visits.start(visit(work, i, arrived, results[static_cast<std::size_t>(i)]));
      // Both threads fall asleep now and then, and are woken.
      if (i % 100 == 50) {
        Alarm pause(loop);
        co_await pause.sleep(std::chrono::microseconds(500));
      }
    }
    co_await visits.wait();
  }(*loop_, *work_, order, sums));
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(sums[static_cast<std::size_t>(i)], 3 * i);
  }
}

TEST_F(WorkThreadTest, ACallIsDoneWhenItReturns) {
  int value = 0;
  work_->call([&] { value = 7; });
  EXPECT_EQ(value, 7);
}

/// Waits until the thread sleeps.
UringLoop::Hold hold_at_last(WorkThread& work) {
  for (;;) {
    UringLoop::Hold hold = work.hold_if_asleep();
    if (hold) return hold;
    std::this_thread::yield();
  }
}

TEST_F(WorkThreadTest, IsNotHeldWhileItIsAwake) {
  std::atomic<bool> is_there = false;
  std::atomic<bool> may_go = false;
  spawn([](WorkThread& work, std::atomic<bool>& there, std::atomic<bool>& go) -> Task<void> {
    co_await work.enter();
    there = true;
    while (!go) std::this_thread::yield();
  }(*work_, is_there, may_go));
  while (!is_there) std::this_thread::yield();
  EXPECT_FALSE(work_->hold_if_asleep());
  may_go = true;
  EXPECT_TRUE(hold_at_last(*work_));
}

TEST_F(WorkThreadTest, RunsNothingWhileItIsHeldAndThenWhatItHasBeenGiven) {
  const pid_t home = gettid();
  std::atomic<pid_t> woken_in = 0;
  std::atomic<pid_t> slept_in = 0;
  {
    const UringLoop::Hold hold = hold_at_last(*work_);
    spawn([](Executor& executor, std::atomic<pid_t>& there) -> Task<void> {
      co_await executor.yield();
      there = gettid();
    }(work_->executor(), woken_in));
    spawn([](Executor& executor, std::atomic<pid_t>& there) -> Task<void> {
      Alarm alarm(executor);
      co_await alarm.sleep(std::chrono::milliseconds(2));
      there = gettid();
    }(work_->executor(), slept_in));
    spawn([](WorkThread& work) -> Task<void> {
      co_await work.enter();  // wakes it, but it has to wait
    }(*work_));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(woken_in, 0);
    EXPECT_EQ(slept_in, 0);
  }
  while (woken_in == 0 || slept_in == 0) std::this_thread::yield();
  EXPECT_NE(woken_in, home);
  EXPECT_EQ(slept_in, woken_in);
}

TEST_F(WorkThreadTest, WhatItOwnsIsSafeWithWhoHoldsIt) {
  std::uint64_t value = 0;  // the thread's; unprotected on purpose
  std::uint64_t held = 0;
  loop_->run([](UringLoop& loop, WorkThread& work, std::uint64_t& its_value,
                std::uint64_t& times_held) -> Task<void> {
    const auto visit = [](WorkThread& place, std::uint64_t& theirs) -> Task<void> {
      co_await place.enter();
      ++theirs;
      co_await place.leave();
    };
    TaskGroup visits(loop);
    for (int i = 0; i < 2000; ++i) {
      if (i % 3 == 0) visits.start(visit(work, its_value));
      if (const UringLoop::Hold hold = work.hold_if_asleep()) {
        ++times_held;
        ++its_value;
      }
      if (i % 7 == 0) {
        Alarm pause(loop);
        co_await pause.sleep(std::chrono::microseconds(50));
      }
    }
    co_await visits.wait();
  }(*loop_, *work_, value, held));
  EXPECT_EQ(value, 667 + held);
  EXPECT_GT(held, 0U);
}

TEST(WorkPlace, WithoutAThreadNobodyMoves) {
  const WorkPlace here;
  EXPECT_TRUE(here.enter().await_ready());
  EXPECT_TRUE(here.leave().await_ready());
}

}  // namespace
}  // namespace uvdo
