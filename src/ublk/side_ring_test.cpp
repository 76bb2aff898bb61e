// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/side_ring.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

/// An operation that somebody waits for.
struct Call : UringLoop::Operation {
  explicit Call(Executor& executor) : done(executor) {
    complete = [](UringLoop::Operation& operation) { static_cast<Call&>(operation).done.set(); };
  }
  Event done;
};

void prepare_read(io_uring_sqe* sqe, int fd, std::uint64_t& value) {
  io_uring_prep_read(sqe, fd, &value, sizeof value, 0);
}

class SideRingTest : public ::testing::TestWithParam<SideRing::EntrySize> {
 protected:
  void SetUp() override {
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
    auto ring = SideRing::create(*loop_, 16, GetParam());
    ASSERT_TRUE(ring.ok()) << ring.error().message();
    ring_ = std::move(*ring);
  }

  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<SideRing> ring_;
};

TEST_P(SideRingTest, CompletionsAreToldInTheLoop) {
  loop_->run([](UringLoop& loop, SideRing& ring) -> Task<void> {
    for (int round = 0; round < 100; ++round) {
      std::vector<std::unique_ptr<Call>> calls;
      for (int i = 0; i < 16; ++i) {
        calls.push_back(std::make_unique<Call>(loop));
        ring.submit(*calls.back(), [](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); });
      }
      for (const auto& call : calls) {
        co_await call->done.wait();
        EXPECT_EQ(call->result, 0);
      }
    }
    co_await ring.close();
  }(*loop_, *ring_));
}

TEST_P(SideRingTest, WhatCompletesLaterWakesTheLoop) {
  loop_->run([](UringLoop& loop, SideRing& ring) -> Task<void> {
    const FileDescriptor event(eventfd(0, EFD_CLOEXEC));
    for (std::uint64_t round = 1; round < 10; ++round) {
      std::uint64_t value = 0;
      Call call(loop);
      ring.submit(call, [&](io_uring_sqe* sqe) { prepare_read(sqe, event.get(), value); });
      Alarm pause(loop);
      co_await pause.sleep(std::chrono::milliseconds(2));
      EXPECT_FALSE(call.done.is_set());
      EXPECT_EQ(write(event.get(), &round, sizeof round), 8);
      co_await call.done.wait();
      EXPECT_EQ(call.result, 8);
      EXPECT_EQ(value, round);
    }
    co_await ring.close();
  }(*loop_, *ring_));
}

TEST_P(SideRingTest, WhatIsCancelledCompletes) {
  loop_->run([](UringLoop& loop, SideRing& ring) -> Task<void> {
    const FileDescriptor event(eventfd(0, EFD_CLOEXEC));
    std::uint64_t value = 0;
    Call call(loop);
    ring.submit(call, [&](io_uring_sqe* sqe) { prepare_read(sqe, event.get(), value); });
    co_await loop.next_turn();
    ring.cancel(call);
    co_await call.done.wait();
    EXPECT_LT(call.result, 0);
    co_await ring.close();
  }(*loop_, *ring_));
}

TEST_P(SideRingTest, NobodyIsToldOfWhatTheEndGivesUp) {
  loop_->run([](UringLoop& loop, SideRing& ring) -> Task<void> {
    const FileDescriptor event(eventfd(0, EFD_CLOEXEC));
    std::uint64_t value = 0;
    Call call(loop);
    ring.submit(call, [&](io_uring_sqe* sqe) { prepare_read(sqe, event.get(), value); });
    co_await ring.close();
    Alarm pause(loop);
    co_await pause.sleep(std::chrono::milliseconds(5));
    EXPECT_FALSE(call.done.is_set());
  }(*loop_, *ring_));
}

INSTANTIATE_TEST_SUITE_P(Sizes, SideRingTest,
                         ::testing::Values(SideRing::EntrySize::usual, SideRing::EntrySize::wide));

}  // namespace
}  // namespace uvdo
