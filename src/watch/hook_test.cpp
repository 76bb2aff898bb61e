// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/hook.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

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
  wait(hook, [&, of_shell = shell] { return !is_running(of_shell); });
  wait(hook, [&, child = sleeping] { return !is_running(child); });
  EXPECT_EQ(lines_.size(), 1U);
  wait(hook, [&] { return processes_in(content()).second != 0; });  // the next one had its turn
}

/// A process that holds another back from ending, as a disk does that does not answer: while it is
/// traced its parent learns nothing of it.
class Holder {
 public:
  explicit Holder(pid_t held) {
    std::array<int, 2> told{};
    if (pipe(told.data()) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      const char holds = ptrace(PTRACE_SEIZE, held, nullptr, nullptr) == 0 ? 'y' : 'n';
      [[maybe_unused]] const auto written = write(told[1], &holds, 1);
      for (;;) pause();
    }
    char holds = 'n';
    holds_ = read(told[0], &holds, 1) == 1 && holds == 'y';
    close(told[0]);
    close(told[1]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { let_go(); }
  [[nodiscard]] bool holds() const { return holds_; }
  void let_go() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  bool holds_ = false;
};

TEST_F(HookTest, OneThatCannotEndIsNotWaitedFor) {
  Hook hook(command("echo $$ 1 > " + path_ + "; sleep 1000", std::chrono::seconds(60)), clock(),
            log());
  hook.run({});
  wait(hook, [&] { return processes_in(content()).second != 0; });
  Holder holder(processes_in(content()).first);
  if (!holder.holds()) GTEST_SKIP() << "no process may be traced here";
  std::remove(path_.c_str());
  hook.run({});
  now_ += std::chrono::seconds(60);
  for (int i = 0; i < 10; ++i) hook.poll();
  EXPECT_TRUE(hook.is_busy());
  EXPECT_EQ(content(), "") << "the next one waits for its end";
  EXPECT_EQ(lines_.size(), 1U) << "it is killed once";
  holder.let_go();
  wait(hook, [&] { return processes_in(content()).second != 0; });
}

TEST_F(HookTest, AnEndDoesNotWaitLongForOneThatCannotEnd) {
  std::optional<Holder> holder;
  {
    Hook hook(command("echo $$ 1 > " + path_ + "; sleep 1000"), clock(), log());
    hook.run({});
    wait(hook, [&] { return processes_in(content()).second != 0; });
    holder.emplace(processes_in(content()).first);
    if (!holder->holds()) GTEST_SKIP() << "no process may be traced here";
  }
  const pid_t shell = processes_in(content()).first;
  holder.reset();
  EXPECT_EQ(waitpid(shell, nullptr, 0), shell);
}

TEST_F(HookTest, ACommandIsKilledWithTheServer) {
  const pid_t server = fork();
  if (server == 0) {
    Hook hook(command("echo $$ 1 > " + path_ + "; exec sleep 1000"), clock(), log());
    hook.run({});
    for (;;) pause();
  }
  for (int i = 0; i < 2000 && processes_in(content()).second == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const pid_t shell = processes_in(content()).first;
  ASSERT_NE(shell, 0);
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  for (int i = 0; i < 2000 && is_running(shell); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(is_running(shell));
}

TEST_F(HookTest, ACommandHasTheUsualSignals) {
  Hook hook(command("grep -E '^Sig(Blk|Ign)' /proc/self/status > " + path_ + ".new; mv " + path_ +
                    ".new " + path_),
            clock(), log());
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto old = std::signal(SIGPIPE, SIG_IGN);
  hook.run({});
  std::signal(SIGPIPE, old);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  wait(hook, [&] { return !content().empty(); });
  // 32 and 33 are the C library's own: as they were when the test began, so they stay.
  constexpr std::uint64_t kOfTheLibrary = 0x180000000;
  unsigned long long held = 0;
  unsigned long long ignored = 0;
  ASSERT_EQ(std::sscanf(content().c_str(), "SigBlk: %llx SigIgn: %llx", &held, &ignored), 2);
  EXPECT_EQ(held, 0U);
  EXPECT_EQ(ignored & ~kOfTheLibrary, 0U);
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
