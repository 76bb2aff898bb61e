// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/hook.h"

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

class HookTest : public ::testing::Test {
 protected:
  HookTest()
      : path_(::testing::TempDir() + "uvdo-hook-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::remove(path_.c_str());
  }
  ~HookTest() override { std::remove(path_.c_str()); }
  Hook::Settings command(std::string text, Duration limit = std::chrono::hours(1)) {
    return {std::move(text), limit};
  }
  /// The time of the test.
  std::function<TimePoint()> clock() {
    return [this] { return now_; };
  }
  LogFunction log() {
    return [this](const LogLine& line) { lines_.push_back(line.text); };
  }
  template <class Done>
  void wait(Hook& hook, Done&& done) {
    for (int i = 0; i < 2000 && !done(); ++i) {
      hook.poll();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_TRUE(done());
  }
  std::string content() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::string path_;
  std::vector<std::string> lines_;
  TimePoint now_{};
};

TEST_F(HookTest, RunsOneAfterTheOtherWithWhatHasHappened) {
  Hook hook(command("echo \"$UVDO_PERCENT $UVDO_EVENT\" >> " + path_), clock(), log());
  hook.run({{"UVDO_PERCENT", "80"}, {"UVDO_EVENT", "above"}});
  hook.run({{"UVDO_PERCENT", "90"}, {"UVDO_EVENT", "it's \"more\""}});
  wait(hook, [&] { return content() == "80 above\n90 it's \"more\"\n"; });
  EXPECT_TRUE(lines_.empty());
}

TEST_F(HookTest, AFailureIsLogged) {
  Hook hook(command("exit 3"), clock(), log());
  hook.run({});
  wait(hook, [&] { return !lines_.empty(); });
  EXPECT_NE(lines_[0].find("status 3"), std::string::npos);
}

TEST_F(HookTest, WithoutACommandNothingIsRun) {
  Hook hook(command(""), clock(), log());
  hook.run({{"A", "b"}});
  hook.poll();
  EXPECT_TRUE(lines_.empty());
}

/// Waits until the command has written the numbers of two processes of its, and tells them.
std::pair<pid_t, pid_t> processes_in(const std::string& content) {
  std::pair<pid_t, pid_t> pids{0, 0};
  std::istringstream(content) >> pids.first >> pids.second;
  return pids;
}

bool is_running(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/stat");
  std::string ignored;
  std::string state;
  status >> ignored >> ignored >> state;
  return !state.empty() && state != "Z";
}

TEST_F(HookTest, OneThatTakesTooLongIsKilledWithAllThatItHasStarted) {
  const std::string sleeper =
      "sleep 1000 & echo $$ $! > " + path_ + ".new; mv " + path_ + ".new " + path_ + "; wait";
  Hook hook(command(sleeper, std::chrono::seconds(60)), clock(), log());
  hook.run({});
  hook.run({});
  wait(hook, [&] { return processes_in(content()).second != 0; });
  const auto [shell, sleeping] = processes_in(content());
  now_ += std::chrono::seconds(59);
  hook.poll();
  EXPECT_TRUE(is_running(shell));
  std::remove(path_.c_str());
  now_ += std::chrono::seconds(1);
  hook.poll();
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_NE(lines_[0].find("killed, after 60 seconds"), std::string::npos);
  EXPECT_FALSE(is_running(shell));
  wait(hook, [&, child = sleeping] { return !is_running(child); });
  wait(hook, [&] { return processes_in(content()).second != 0; });  // the next one had its turn
}

TEST_F(HookTest, NothingOfItOutlivesTheServer) {
  std::pair<pid_t, pid_t> pids;
  {
    Hook hook(command("sleep 1000 & echo $$ $! > " + path_ + "; wait"), clock(), log());
    hook.run({});
    wait(hook, [&] { return processes_in(content()).second != 0; });
    pids = processes_in(content());
  }
  EXPECT_FALSE(is_running(pids.first));
  for (int i = 0; i < 2000 && is_running(pids.second); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(is_running(pids.second));
}

}  // namespace
}  // namespace uvdo
