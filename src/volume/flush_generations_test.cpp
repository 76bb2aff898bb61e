// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/flush_generations.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

Task<void> flush(FlushGenerations& writes, bool& done) {
  const auto last = writes.begin_flush();
  co_await writes.wait(last);
  done = true;
}

TEST(FlushGenerations, AFlushWaitsForThoseBeforeItAlone) {
  SimExecutor executor({.seed = 1, .order = SimOrder::fifo, .stall_one_in = 0});
  FlushGenerations writes(executor);
  const auto outcome = executor.run([](SimExecutor& on, FlushGenerations& all) -> Task<void> {
    const auto early = all.enter();
    bool first = false;
    bool second = false;
    TaskGroup flushes(on);
    flushes.start(flush(all, first));
    flushes.start(flush(all, second));  // no write has come since
    const auto late = all.enter();
    co_await on.yield();
    EXPECT_FALSE(first || second);
    all.leave(early);
    co_await flushes.wait();
    EXPECT_TRUE(first && second);
    bool third = false;
    flushes.start(flush(all, third));
    co_await on.yield();
    EXPECT_FALSE(third);
    all.leave(late);
    co_await flushes.wait();
  }(executor, writes));
  EXPECT_TRUE(outcome) << outcome.why;
}

TEST(FlushGenerations, AFlushEndsThoughWritesNeverDo) {
  SimExecutor executor({.seed = 1, .order = SimOrder::fifo, .stall_one_in = 0});
  FlushGenerations writes(executor);
  const auto outcome = executor.run([](SimExecutor& on, FlushGenerations& all) -> Task<void> {
    auto running = all.enter();
    for (int round = 0; round < 100; ++round) {
      bool done = false;
      TaskGroup flushes(on);
      flushes.start(flush(all, done));
      for (int i = 0; i < 10; ++i) {
        const auto next = all.enter();  // before the last one has left
        all.leave(running);
        running = next;
        co_await on.yield();
      }
      EXPECT_TRUE(done) << round;
      co_await flushes.wait();
    }
    all.leave(running);
  }(executor, writes));
  EXPECT_TRUE(outcome) << outcome.why;
}

}  // namespace
}  // namespace uvdo
