// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/wait_queue.h"

#include <vector>

#include <gtest/gtest.h>

#include "async/buffer_pool.h"
#include "async/sim_executor.h"

namespace uvdo {
namespace {

SimExecutor make_executor(std::uint64_t seed = 3) { return SimExecutor({.seed = seed}); }

TEST(Semaphore, ServesWaitersInOrderAndDoesNotStarveTheLarge) {
  auto executor = make_executor();
  std::vector<int> order;
  const auto outcome = executor.run([](SimExecutor& ex, std::vector<int>& log) -> Task<void> {
    Semaphore semaphore(ex, 2);
    TaskGroup tasks(ex);
    co_await semaphore.acquire(2);
    const auto taker = [](Semaphore& s, std::vector<int>& l, int id,
                          std::uint64_t n) -> Task<void> {
      co_await s.acquire(n);
      l.push_back(id);
      s.release(n);
    };
    tasks.start(taker(semaphore, log, 1, 2));
    tasks.start(taker(semaphore, log, 2, 1));
    semaphore.release(1);
    for (int i = 0; i < 10; ++i) co_await ex.yield();
    EXPECT_TRUE(log.empty());  // the second could, but the first came first
    semaphore.release(1);
    co_await tasks.wait();
  }(executor, order));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(Event, WakesWhoWaitsAndLetsPassWhoComesLater) {
  auto executor = make_executor();
  int passed = 0;
  const auto outcome = executor.run([](SimExecutor& ex, int& count) -> Task<void> {
    Event event(ex);
    TaskGroup tasks(ex);
    const auto waiter = [](Event& e, int& n) -> Task<void> {
      co_await e.wait();
      ++n;
    };
    tasks.start(waiter(event, count));
    EXPECT_EQ(count, 0);
    event.set();
    tasks.start(waiter(event, count));
    EXPECT_EQ(count, 1);
    co_await tasks.wait();
  }(executor, passed));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(passed, 2);
}

TEST(Alarm, RingsBeforeItsTimeAndRemembersARing) {
  auto executor = make_executor();
  const auto outcome = executor.run([](SimExecutor& ex) -> Task<void> {
    Alarm alarm(ex);
    const TimePoint start = ex.now();
    alarm.ring();
    co_await alarm.sleep(std::chrono::hours(1));
    EXPECT_LT(ex.now() - start, std::chrono::minutes(1));
    co_await alarm.sleep(std::chrono::seconds(5));
    EXPECT_GE(ex.now() - start, std::chrono::seconds(5));
  }(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(BufferPool, MakesTheLastOneWaitUntilABufferComesBack) {
  auto executor = make_executor();
  const auto outcome = executor.run([](SimExecutor& ex) -> Task<void> {
    BufferPool pool(ex, 0);  // the fewest of each size
    std::vector<Buffer> held;
    while (true) {
      Buffer buffer = pool.try_acquire(100'000);
      if (buffer.data() == nullptr) break;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0U);
      held.push_back(std::move(buffer));
    }
    EXPECT_FALSE(held.empty());
    bool got = false;
    TaskGroup tasks(ex);
    tasks.start([](BufferPool& p, bool& flag) -> Task<void> {
      const Buffer buffer = co_await p.acquire(131072);
      flag = true;
    }(pool, got));
    for (int i = 0; i < 5; ++i) co_await ex.yield();
    EXPECT_FALSE(got);
    EXPECT_TRUE(pool.is_short());
    held.pop_back();
    co_await tasks.wait();
    EXPECT_TRUE(got);
    held.clear();
    EXPECT_EQ(pool.bytes_in_use(), 0U);
  }(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

}  // namespace
}  // namespace uvdo
