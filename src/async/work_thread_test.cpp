// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/work_thread.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

class WorkThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = UringLoop::create(64);
    ASSERT_TRUE(loop) << loop.error().message();
    loop_ = std::move(*loop);
    auto work = WorkThread::start(*loop_);
    ASSERT_TRUE(work) << work.error().message();
    work_ = std::move(*work);
  }
  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<WorkThread> work_;
};

TEST_F(WorkThreadTest, CoroutinesGoThereAndComeBack) {
  const auto home = std::this_thread::get_id();
  std::thread::id there;
  std::thread::id back;
  loop_->run([](WorkThread& work, std::thread::id& in, std::thread::id& out) -> Task<void> {
    co_await work.enter();
    in = std::this_thread::get_id();
    co_await work.leave();
    out = std::this_thread::get_id();
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

TEST(WorkPlace, WithoutAThreadNobodyMoves) {
  const WorkPlace here;
  EXPECT_TRUE(here.enter().await_ready());
  EXPECT_TRUE(here.leave().await_ready());
}

}  // namespace
}  // namespace uvdo
