// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_looker.h"

#include <array>
#include <cstdlib>
#include <future>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

using std::chrono::milliseconds;

class BackingLookerTest : public ::testing::Test {
 protected:
  BackingLookerTest() : fd_(mkstemp(path_.data())) {}
  ~BackingLookerTest() override { unlink(path_.c_str()); }

  static Result<BackingState> wait_for(BackingLooker& looker) {
    while (true) {
      if (auto found = looker.take()) return std::move(*found);
      std::this_thread::yield();
    }
  }

  std::string path_ = "/tmp/uvdo-looker.XXXXXX";
  FileDescriptor fd_;
};

TEST_F(BackingLookerTest, FindsOutWhatBecomesOfAFile) {
  BackingLooker looker(path_);
  EXPECT_FALSE(looker.take());
  looker.begin(fd_.get());
  auto state = wait_for(looker);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->named, BackingState::Named::itself);
  EXPECT_FALSE(looker.take()) << "it is told once";
  ASSERT_EQ(ftruncate(fd_.get(), 12345), 0);
  unlink(path_.c_str());
  looker.begin(fd_.get());
  state = wait_for(looker);
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->named, BackingState::Named::nothing);
  EXPECT_TRUE(state->is_removed());
  EXPECT_EQ(state->size, 12345U);
}

TEST_F(BackingLookerTest, NobodyWaitsForAFileSystemThatDoesNotAnswer) {
  struct Stuck {
    std::promise<void> begun;
    std::promise<void> go_on;
  };
  const auto stuck = std::make_shared<Stuck>();
  const auto hang = [stuck](int, const std::string&) -> Result<BackingState> {
    stuck->begun.set_value();
    stuck->go_on.get_future().wait();
    return BackingState();
  };
  {
    BackingLooker looker(path_, hang);
    looker.begin(fd_.get());
    stuck->begun.get_future().wait();
    EXPECT_FALSE(looker.take());
    looker.begin(fd_.get());  // a second one would break the promise
    looker.forget(milliseconds(1));
    EXPECT_FALSE(looker.take());
  }
  stuck->go_on.set_value();
}

TEST_F(BackingLookerTest, WhatIsForgottenIsNotToldAndKeepsNoLock) {
  BackingLooker looker(path_);
  ASSERT_EQ(flock(fd_.get(), LOCK_EX | LOCK_NB), 0);
  looker.begin(fd_.get());
  fd_ = FileDescriptor();
  const FileDescriptor other(open(path_.c_str(), O_RDWR | O_CLOEXEC));
  looker.forget(std::chrono::seconds(30));
  EXPECT_EQ(flock(other.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_FALSE(looker.take());
  looker.begin(other.get());
  EXPECT_TRUE(wait_for(looker).ok());
}

}  // namespace
}  // namespace uvdo
