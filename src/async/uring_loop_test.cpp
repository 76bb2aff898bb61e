// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/uring_loop.h"

#include <gtest/gtest.h>

#include "async/wait_queue.h"
#include "async/work_thread.h"

namespace uvdo {
namespace {

std::unique_ptr<UringLoop> make_loop() {
  auto loop = UringLoop::create(64);
  EXPECT_TRUE(loop) << loop.error().message();
  return loop ? std::move(*loop) : nullptr;
}

TEST(UringLoop, GoesOnAfterATurnEndThatWaitsForAnotherTurnEnd) {
  // With nothing else to do the loop would sleep on, and nobody would wake it.
  auto loop = make_loop();
  int turns = 0;
  loop->run([](UringLoop& executor, int& count) -> Task<void> {
    for (; count < 5; ++count) co_await executor.turn_end();
  }(*loop, turns));
  EXPECT_EQ(turns, 5);
}

TEST(UringLoop, RunsTheTurnEndAfterEverythingThatIsReady) {
  auto loop = make_loop();
  std::string order;
  loop->run([](UringLoop& executor, std::string& log) -> Task<void> {
    TaskGroup tasks(executor);
    const auto late = [](UringLoop& owner, std::string& text) -> Task<void> {
      co_await owner.turn_end();
      text += "late ";
    };
    const auto early = [](UringLoop& owner, std::string& text) -> Task<void> {
      co_await owner.yield();
      co_await owner.yield();
      text += "early ";
    };
    tasks.start(late(executor, log));
    tasks.start(early(executor, log));
    co_await tasks.wait();
  }(*loop, order));
  EXPECT_EQ(order, "early late ");
}

TEST(UringLoop, ThatStaysAwakeRunsTimersAndWhatComesFromOtherThreads) {
  auto loop = make_loop();
  loop->stay_awake_between_requests();
  auto work = WorkThread::start(*loop);
  ASSERT_TRUE(work) << work.error().message();
  int trips = 0;
  loop->run([](UringLoop& home, WorkThread& thread, int& count) -> Task<void> {
    // Waits of all lengths, so that it also falls asleep and is woken.
    for (int i = 0; i < 200; ++i) {
      co_await thread.enter();
      co_await thread.leave();
      Alarm alarm(home);
      co_await alarm.sleep(std::chrono::microseconds(i));
      ++count;
    }
  }(*loop, **work, trips));
  EXPECT_EQ(trips, 200);
}

}  // namespace
}  // namespace uvdo
