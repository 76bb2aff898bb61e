// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/last_users.h"

#include <atomic>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

using Texts = std::vector<std::string>;

class LastUsersTest : public ::testing::Test {
 protected:
  LastUsersTest() {
    auto loop = UringLoop::create();
    EXPECT_TRUE(loop.ok());
    loop_ = std::move(*loop);
    settings_.is_going_down = [this] { return goes_down_; };
    // A mount that is gone at the third look.
    settings_.users_of = [this](const std::string&) {
      return ++looks_ < looks_until_gone_ ? Texts{"mounted on /mnt"} : Texts{};
    };
    settings_.pause = std::chrono::milliseconds(1);
  }
  void wait(const Texts& devices = {"/dev/ublkb0"}) {
    loop_->run([](LastUsersTest& test, const Texts& all) -> Task<void> {
      const LastUsers last(*test.loop_, test.settings_,
                           [&test](const LogLine& line) { test.log_.push_back(line.text); });
      auto waiting = last.wait([&all] { return all; });
      co_await std::move(waiting);
    }(*this, devices));
  }

  std::unique_ptr<UringLoop> loop_;
  LastUsers::Settings settings_;
  bool goes_down_ = true;
  std::atomic<int> looks_ = 0;
  int looks_until_gone_ = 3;
  Texts log_;
};

TEST_F(LastUsersTest, AreWaitedForWhileTheMachineGoesDown) {
  wait();
  EXPECT_EQ(looks_, 3);
  EXPECT_EQ(log_, (Texts{"the machine goes down: the server goes on as long as /dev/ublkb0 is "
                         "mounted on /mnt"}));
}

TEST_F(LastUsersTest, AreLeftAloneWhereOnlyTheServerEnds) {
  goes_down_ = false;
  wait();
  EXPECT_EQ(looks_, 0);
}

TEST_F(LastUsersTest, AreNotAskedForWithoutADevice) {
  settings_.is_going_down = [this] { return ++looks_ > 0; };
  wait({});
  EXPECT_EQ(looks_, 0);
}

TEST_F(LastUsersTest, AreNotWaitedForForEver) {
  looks_until_gone_ = INT32_MAX;
  settings_.patience = std::chrono::milliseconds(20);
  wait();
  EXPECT_GT(looks_, 1);
  ASSERT_EQ(log_.size(), 2U);
  EXPECT_EQ(log_.back(),
            "the machine goes down, but /dev/ublkb0 is mounted on /mnt: the server "
            "ends nevertheless");
}

}  // namespace
}  // namespace uvdo
