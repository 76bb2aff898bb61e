// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/write_jobs.h"

#include <array>
#include <set>
#include <utility>

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
  constexpr std::array kStages{Stage::undecided, Stage::packing, Stage::alone,
                               Stage::located,   Stage::applied, Stage::ended};
  using Way = std::pair<Stage, Stage>;
  const std::set<Way> ways{
      {Stage::undecided, Stage::packing}, {Stage::undecided, Stage::located},
      {Stage::packing, Stage::alone},     {Stage::packing, Stage::applied},
      {Stage::alone, Stage::applied},     {Stage::located, Stage::applied},
      {Stage::located, Stage::undecided},
  };
  for (const Stage stage : kStages) {
    for (const Stage next : kStages) {
      const bool ends = next == Stage::ended && stage != Stage::ended;
      EXPECT_EQ(may_follow(stage, next), ends || ways.contains({stage, next}))
          << static_cast<int>(stage) << " to " << static_cast<int>(next);
    }
  }
}

}  // namespace
}  // namespace uvdo
