// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/uring_loop.h"

#include <algorithm>
#include <string>

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

TEST(UringLoop, LooksAtItsIoBetweenThePiecesOfThoseWhoGiveWayInTurn) {
  auto loop = make_loop();
  std::string order;
  int completions = 0;
  loop->run([](UringLoop& owner, std::string& log, int& count) -> Task<void> {
    bool is_over = false;
    TaskGroup io(owner);
    io.start([](UringLoop& executor, const bool& ended, int& done) -> Task<void> {
      while (!ended) {
        EXPECT_EQ(co_await executor.perform([](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); }), 0);
        ++done;
      }
    }(owner, is_over, count));
    TaskGroup workers(owner);
    for (const char name : {'a', 'b', 'c'}) {
      workers.start([](UringLoop& executor, char who, std::string& text) -> Task<void> {
        for (int piece = 0; piece < 20; ++piece) {
          co_await executor.give_way();
          text += who;
          executor.spend(kTurnUnits / 2);
        }
      }(owner, name, log));
    }
    co_await workers.wait();
    is_over = true;
    co_await io.wait();
  }(*loop, order, completions));
  ASSERT_EQ(order.size(), 60U);
  // Behind the first round, which runs before anybody has to give way, nobody is passed over: two
  // pieces make a turn, and each worker has one in three.
  for (std::size_t i = 6; i + 6 <= 50; i += 6) {
    const std::string some = order.substr(i, 6);
    for (const char name : {'a', 'b', 'c'}) {
      EXPECT_EQ(std::ranges::count(some, name), 2) << order << " at " << i;
    }
  }
  EXPECT_GE(completions, 25);
}

TEST(UringLoop, DoesNotLetThoseWhoAreReadyKeepItFromItsIo) {
  auto loop = make_loop();
  int resumptions = 0;
  loop->run([](UringLoop& owner, int& count) -> Task<void> {
    bool is_over = false;
    TaskGroup busy(owner);
    for (int i = 0; i < 100; ++i) {
      busy.start([](UringLoop& executor, const bool& ended, int& times) -> Task<void> {
        while (!ended) {
          ++times;
          executor.spend(kTurnUnits / 10);
          co_await executor.yield();
        }
      }(owner, is_over, count));
    }
    EXPECT_EQ(co_await owner.perform([](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); }), 0);
    is_over = true;
    co_await busy.wait();
  }(*loop, resumptions));
  // Ten make a turn; before this, all of them ran sixteen times.
  EXPECT_LE(resumptions, 250);
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

// A kernel that takes no entries for a while (no memory: EAGAIN), or none before completions are
// fetched (EBUSY).
int refusals_left = 0;
int refusals = 0;
int error_of_refusal = 0;
int refuse_for_a_while(io_uring* ring) {
  if (refusals_left == 0) return io_uring_submit(ring);
  --refusals_left;
  ++refusals;
  return -error_of_refusal;
}

/// More operations than the ring has entries, begun in one turn; how many were done.
int perform_many(UringLoop& loop, int count) {
  int done = 0;
  loop.run([](UringLoop& executor, int many, int& its_done) -> Task<void> {
    TaskGroup operations(executor);
    const auto one = [](UringLoop& owner, int& counter) -> Task<void> {
      const int result = co_await owner.perform([](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); });
      if (result == 0) ++counter;
    };
    for (int i = 0; i < many; ++i) operations.start(one(executor, its_done));
    co_await operations.wait();
  }(loop, count, done));
  return done;
}

TEST(UringLoop, WaitsWhileTheKernelTakesNoEntries) {
  for (const int error : {EAGAIN, EBUSY, ENOMEM, EINTR}) {
    auto loop = make_loop();
    loop->submit_by(refuse_for_a_while);
    error_of_refusal = error;
    refusals_left = 8;
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(perform_many(*loop, 200), 200);
    EXPECT_EQ(refusals_left, 0);
    // It leaves the processor to others meanwhile, longer and longer.
    const auto shortest = std::chrono::microseconds(error == EINTR ? 0 : 10'000);
    EXPECT_GE(std::chrono::steady_clock::now() - begun, shortest);
  }
}

// The kernel refuses until its completions are fetched, as before Linux 5.19 when they do not fit.
int refuse_with_completions(io_uring* ring) {
  if (io_uring_cq_ready(ring) > 0) return -EBUSY;
  return io_uring_submit(ring);
}

TEST(UringLoop, FetchesCompletionsWhereTheKernelWaitsForThat) {
  auto loop = make_loop();
  loop->submit_by(refuse_with_completions);
  EXPECT_EQ(perform_many(*loop, 2000), 2000);
}

// What a completion calls may begin more operations than there are entries.
TEST(UringLoop, CompletionsMayBeginOperationsWhileOthersAreFetched) {
  struct Chain : UringLoop::Operation {
    UringLoop* loop = nullptr;
    int left = 0;
    int* done = nullptr;
  };
  auto loop = make_loop();
  loop->submit_by(refuse_with_completions);
  std::vector<Chain> chains(100);
  int done = 0;
  loop->run([](UringLoop& executor, std::vector<Chain>& all, int& finished) -> Task<void> {
    const auto next = [](UringLoop::Operation& operation) {
      auto& chain = static_cast<Chain&>(operation);
      ++*chain.done;
      if (--chain.left == 0) return;
      chain.loop->submit(chain, [](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); });
    };
    for (Chain& chain : all) {
      chain.loop = &executor;
      chain.left = 20;
      chain.done = &finished;
      chain.complete = next;
      executor.submit(chain, [](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); });
    }
    Alarm pause(executor);
    for (int i = 0; i < 10'000 && finished < 2000; ++i) {
      co_await pause.sleep(std::chrono::milliseconds(1));
    }
  }(*loop, chains, done));
  EXPECT_EQ(done, 2000);
}

}  // namespace
}  // namespace uvdo
