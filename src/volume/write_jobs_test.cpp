// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/write_jobs.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

class WriteJobsTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run(body());
    EXPECT_TRUE(outcome) << outcome.why;
  }
  Task<void> wait_for_end(bool& has_ended) {
    const WriteJobs::Accepted accepted = jobs.begin_flush();
    co_await jobs.wait_for_ways(accepted);
    co_await jobs.wait_for_end(accepted);
    has_ended = true;
  }

  SimExecutor executor{{.seed = 1}};
  WriteJobs jobs{executor, 2};
};

TEST_F(WriteJobsTest, AFlushWaitsForTheWritesBeforeItAndForNoneThatComesLater) {
  run([this]() -> Task<void> {
    WriteJob& before = jobs.take();
    bool has_ended = false;
    TaskGroup flush(executor);
    flush.start(wait_for_end(has_ended));
    WriteJob& later = jobs.take();
    co_await executor.next_turn();
    EXPECT_FALSE(has_ended);
    jobs.give(before);
    co_await flush.wait();
    EXPECT_TRUE(has_ended);
    jobs.give(later);
  });
}

TEST_F(WriteJobsTest, WhoFindsNoneHurriesTheOthersAndGetsTheNext) {
  run([this]() -> Task<void> {
    WriteJob& first = jobs.take();
    WriteJob& second = jobs.take();
    EXPECT_FALSE(jobs.has_spare());
    int hurries = 0;
    TaskGroup waiters(executor);
    waiters.start(jobs.wait_for_spare([&] { ++hurries; }));
    EXPECT_TRUE(jobs.has_waiters());
    EXPECT_EQ(hurries, 1);
    jobs.give(first);
    co_await waiters.wait();
    EXPECT_TRUE(jobs.has_spare());
    EXPECT_EQ(jobs.shortages(), 1U);
    jobs.give(second);
  });
}

TEST(WriteBlockStage, ABlockGoesOnlyTheWaysOfTheTable) {
  EXPECT_TRUE(may_follow(Stage::undecided, Stage::located));
  EXPECT_TRUE(may_follow(Stage::located, Stage::undecided));
  EXPECT_FALSE(may_follow(Stage::packing, Stage::undecided));
  EXPECT_FALSE(may_follow(Stage::applied, Stage::located));
  EXPECT_TRUE(may_follow(Stage::packing, Stage::ended));
  EXPECT_FALSE(may_follow(Stage::ended, Stage::ended));
}

}  // namespace
}  // namespace uvdo
