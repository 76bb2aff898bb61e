// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/standby.h"

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "device/open_device.h"
#include "serve/server_signals.h"

namespace uvdo {
namespace {

/// A file that may be locked, for one test.
class Waiting : public ::testing::Test {
 protected:
  void SetUp() override {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_);
    ServerSignals::hold();
    auto made = make_blocking_device(path_);
    ASSERT_TRUE(made.ok());
    holder_ = std::move(*made);
  }
  void TearDown() override {
    unlink(path_.c_str());
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }
  LogFunction log() {
    return [this](const LogLine& line) {
      lines_.push_back(line.text);
      if (on_line_) on_line_();
    };
  }

  std::string path_ = ::testing::TempDir() + "uvdo_standby_" + std::to_string(getpid());
  std::unique_ptr<BackingStore> holder_;
  std::vector<std::string> lines_;
  std::function<void()> on_line_;
  sigset_t mask_{};
};

TEST_F(Waiting, EndsWhenNobodyHasTheVolume) {
  Standby standby(path_, OpenMode::read_write);
  EXPECT_TRUE(standby.must_wait());
  on_line_ = [this] { holder_.reset(); };
  EXPECT_EQ(standby.wait(log()), Standby::End::free);
  ASSERT_EQ(lines_.size(), 2U);
  EXPECT_TRUE(lines_[0].starts_with("standing by for " + path_ + ": ")) << lines_[0];
  EXPECT_NE(lines_[0].find("is in use"), std::string::npos) << lines_[0];
  EXPECT_EQ(lines_[1], "taking over " + path_);
  EXPECT_FALSE(standby.must_wait()) << "it keeps no lock itself";
}

TEST_F(Waiting, EndsAtASignal) {
  Standby standby(path_, OpenMode::read_only);
  on_line_ = [this] {
    if (lines_.size() == 1) kill(getpid(), SIGTERM);
  };
  EXPECT_TRUE(standby.must_wait());
  EXPECT_EQ(standby.wait(log()), Standby::End::told_to_stop);
  EXPECT_EQ(lines_.back(), "standing by no longer, because of SIGTERM");
}

TEST_F(Waiting, IsForStorageThatIsNotThereYet) {
  Standby standby(path_ + ".none", OpenMode::read_write);
  EXPECT_TRUE(standby.must_wait());
  EXPECT_FALSE(standby.is_in_use());
  EXPECT_NE(standby.reason().find("No such file"), std::string::npos) << standby.reason();
}

TEST_F(Waiting, IsNotForWhatCanNeverBeOpened) {
  Standby standby(::testing::TempDir(), OpenMode::read_write);
  EXPECT_FALSE(standby.must_wait());
  EXPECT_TRUE(Standby::may_pass({Errc::read_only, "the secondary of a pair"}));
  EXPECT_FALSE(Standby::may_pass({Errc::corrupt, "no volume"}));
}

TEST_F(Waiting, GoesOnWhenTheStorageIsOutOfReachMeanwhile) {
  Standby standby(path_, OpenMode::read_write);
  EXPECT_TRUE(standby.must_wait());
  EXPECT_TRUE(standby.is_in_use());
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_TRUE(standby.must_wait());
}

TEST_F(Waiting, PausesBehindARaceThatWasLost) {
  holder_.reset();
  Standby standby(path_, OpenMode::read_write);
  EXPECT_FALSE(standby.must_wait());
  standby.lose({Errc::busy, "it is in use"});
  EXPECT_TRUE(standby.has_lost());
  EXPECT_TRUE(standby.must_wait()) << "though nobody has it";
  EXPECT_FALSE(standby.has_lost());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(standby.wait(log()), Standby::End::free);
  EXPECT_GE(std::chrono::steady_clock::now() - began, Standby::kPause);
  EXPECT_EQ(lines_.size(), 2U);
  standby.lose({Errc::busy, "it is in use"});
  EXPECT_TRUE(standby.must_wait());
  EXPECT_EQ(standby.wait(log()), Standby::End::free);
  EXPECT_EQ(lines_.size(), 2U) << "the same is not told again";
}

TEST_F(Waiting, HeedsASignalThatCameInARace) {
  Standby standby(path_, OpenMode::read_write);
  standby.lose({Errc::busy, "it is in use"});
  standby.heed("SIGINT");
  EXPECT_TRUE(standby.must_wait());
  EXPECT_EQ(standby.wait(log()), Standby::End::told_to_stop);
  EXPECT_EQ(lines_.back(), "standing by no longer, because of SIGINT");
}

}  // namespace
}  // namespace uvdo
