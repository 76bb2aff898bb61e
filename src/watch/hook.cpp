// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/hook.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace uvdo {
namespace {

// One second in all.
constexpr int kLooksAtEnd = 200;
constexpr std::chrono::milliseconds kBetweenLooks(5);

/// Makes this process, a child that shares its parent's memory until then, the command; returns the
/// error. Calls nothing but the system.
int become(const char* const* arguments, char* const* environment, pid_t parent) {
  // The server blocks signals and ignores some; its children are to be like others.
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  for (const int number : {SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU}) sigaction(number, &usual, nullptr);
  sigset_t none;
  sigemptyset(&none);
  setpgid(0, 0);  // a group of its own, to be ended as a whole
  // The end of the thread that calls this counts: it is the one that the server ends with.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it has ended already
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(arguments[0], const_cast<char* const*>(arguments), environment);
  return errno;
}

/// The process, or an error as a negative number. vfork(), since a copy of the server's memory may
/// be more than there is.
[[gnu::noinline]] pid_t spawn(const char* const* arguments, char* const* environment) {
  const pid_t parent = getpid();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler runs in the child
  volatile int error = 0;
  // The parent stands still until the child has become the command or ended, so that `error` needs
  // no other way back.
  const pid_t child = vfork();
  if (child == 0) {
    error = become(arguments, environment, parent);
    _exit(1);
  }
  const int own_error = child < 0 ? errno : error;
  if (child > 0 && own_error != 0) waitpid(child, nullptr, 0);  // it has ended
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return own_error != 0 ? -own_error : child;
}

}  // namespace

void Hook::run(Variables variables) {
  if (settings_.command.empty()) return;
  if (waiting_.size() == kMostWaiting) waiting_.pop_front();  // what is newer tells more
  waiting_.push_back(std::move(variables));
  poll();
}

void Hook::poll() {
  if (!reap()) {
    // A run over its limit is killed once; that it has ended is seen by reap(), here or at a later
    // call.
    if (is_killed_ || now_() - started_ < settings_.limit) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(settings_.limit);
    log_({LogLevel::warning,
          fmt::format("the watermark command was killed, after {} seconds (--hook-timeout): {}",
                      seconds.count(), settings_.command)});
    kill_running();
    // Killed, and not gone yet: looked at again by the next poll().
    if (!reap()) return;
  }
  if (!waiting_.empty()) start_next();
}

bool Hook::reap() {
  if (running_ == 0) return true;
  int status = 0;
  const pid_t ended = waitpid(running_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return false;
  running_ = 0;
  if (ended > 0 && !is_killed_) tell_end(status);
  is_killed_ = false;
  return true;
}

void Hook::tell_end(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    log_({LogLevel::warning, fmt::format("the watermark command failed with status {}: {}",
                                         WEXITSTATUS(status), settings_.command)});
  } else if (WIFSIGNALED(status)) {
    log_({LogLevel::warning, fmt::format("the watermark command was ended by signal {}: {}",
                                         WTERMSIG(status), settings_.command)});
  }
}

void Hook::kill_running() {
  kill(-running_, SIGKILL);
  is_killed_ = true;
}

Hook::~Hook() {
  if (running_ == 0) return;
  if (!is_killed_) kill_running();
  // The one place that waits for a process to end. One that cannot be killed, as it waits for a
  // disk, is left to init.
  for (int i = 0; i < kLooksAtEnd && !reap(); ++i) std::this_thread::sleep_for(kBetweenLooks);
}

void Hook::start_next() {
  const Variables variables = std::move(waiting_.front());
  waiting_.pop_front();
  // All memory is taken before the child is made: it shares it and must not ask for any.
  std::vector<std::string> words;
  for (char** variable = environ; *variable != nullptr; ++variable) words.emplace_back(*variable);
  for (const auto& [name, value] : variables) words.push_back(fmt::format("{}={}", name, value));
  std::vector<char*> environment;
  environment.reserve(words.size() + 1);
  for (std::string& word : words) environment.push_back(word.data());
  environment.push_back(nullptr);
  const std::array<const char*, 4> arguments{"/bin/sh", "-c", settings_.command.c_str(), nullptr};
  started_ = now_();
  const pid_t child = spawn(arguments.data(), environment.data());
  if (child > 0) {
    running_ = child;
    return;
  }
  log_({LogLevel::warning, fmt::format("the watermark command cannot be run: {}: {}",
                                       std::strerror(-child), settings_.command)});
}

}  // namespace uvdo
