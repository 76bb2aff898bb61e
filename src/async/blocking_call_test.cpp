// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/blocking_call.h"

#include <array>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "base/file_descriptor.h"

namespace uvdo {
namespace {

class BlockingCall : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    reader_ = FileDescriptor(ends[0]);
    writer_ = FileDescriptor(ends[1]);
  }
  std::unique_ptr<UringLoop> loop_;
  FileDescriptor reader_;
  FileDescriptor writer_;
};

TEST_F(BlockingCall, TheLoopGoesOnAndMayBeWhatTheCallWaitsFor) {
  loop_->run([](UringLoop& loop, int reader, int writer) -> Task<void> {
    TaskGroup waiting(loop);
    char got = 0;
    waiting.start([](UringLoop& owner, int fd, char& byte) -> Task<void> {
      const auto wait = [fd, &byte]() -> Result<int> {
        return static_cast<int>(read(fd, &byte, 1));
      };
      auto count = co_await call_blocking(owner, Descriptors::shared, wait);
      EXPECT_TRUE(count.ok() && *count == 1);
    }(loop, reader, got));
    // The other thread waits for this.
    EXPECT_EQ(write(writer, "x", 1), 1);
    co_await waiting.wait();
    EXPECT_EQ(got, 'x');
  }(*loop_, reader_.get(), writer_.get()));
}

TEST_F(BlockingCall, ErrorsComeBackAsValues) {
  loop_->run([](UringLoop& loop) -> Task<void> {
    const auto fail = []() -> Result<void> { return Error(Errc::busy, "it is in use"); };
    Result<void> done = co_await call_blocking(loop, Descriptors::shared, fail);
    EXPECT_FALSE(done.ok());
    EXPECT_EQ(done.error().message(), "it is in use");
  }(*loop_));
}

TEST_F(BlockingCall, AThreadWithDescriptorsOfItsOwnHasNoneOfTheProcess) {
  loop_->run([](UringLoop& loop, int served) -> Task<void> {
    const auto is_open = [served]() -> Result<bool> { return fcntl(served, F_GETFD) >= 0; };
    auto there = co_await call_blocking(loop, Descriptors::own, is_open);
    EXPECT_TRUE(there.ok());
    EXPECT_FALSE(*there);
    EXPECT_GE(fcntl(served, F_GETFD), 0) << "the process has it still";
  }(*loop_, reader_.get()));
}

}  // namespace
}  // namespace uvdo
