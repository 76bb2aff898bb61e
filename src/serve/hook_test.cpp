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
};

TEST_F(HookTest, RunsOneAfterTheOtherWithWhatHasHappened) {
  Hook hook("echo \"$UVDO_PERCENT $UVDO_EVENT\" >> " + path_, log());
  hook.run({{"UVDO_PERCENT", "80"}, {"UVDO_EVENT", "above"}});
  hook.run({{"UVDO_PERCENT", "90"}, {"UVDO_EVENT", "it's \"more\""}});
  wait(hook, [&] { return content() == "80 above\n90 it's \"more\"\n"; });
  EXPECT_TRUE(lines_.empty());
}

TEST_F(HookTest, AFailureIsLogged) {
  Hook hook("exit 3", log());
  hook.run({});
  wait(hook, [&] { return !lines_.empty(); });
  EXPECT_NE(lines_[0].find("status 3"), std::string::npos);
}

TEST_F(HookTest, WithoutACommandNothingIsRun) {
  Hook hook("", log());
  hook.run({{"A", "b"}});
  hook.poll();
  EXPECT_TRUE(lines_.empty());
}

}  // namespace
}  // namespace uvdo
