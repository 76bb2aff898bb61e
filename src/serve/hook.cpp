// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/hook.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace uvdo {

void Hook::run(Variables variables) {
  if (settings_.command.empty()) return;
  if (waiting_.size() == kMostWaiting) waiting_.pop_front();  // what is newer tells more
  waiting_.push_back(std::move(variables));
  poll();
}

void Hook::poll() {
  if (running_ != 0) {
    int status = 0;
    const pid_t ended = waitpid(running_, &status, WNOHANG);
    if (ended == 0 && now_() - started_ < settings_.limit) return;
    if (ended == 0) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(settings_.limit);
      log_({LogLevel::warning,
            fmt::format("the watermark command was killed, after {} seconds (--hook-timeout): {}",
                        seconds.count(), settings_.command)});
      kill_running();
    } else {
      running_ = 0;
      if (ended > 0) tell_end(status);
    }
  }
  if (!waiting_.empty()) start_next();
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
  if (running_ == 0) return;
  kill(-running_, SIGKILL);
  while (waitpid(running_, nullptr, 0) < 0 && errno == EINTR) continue;
  running_ = 0;
}

void Hook::start_next() {
  const Variables variables = std::move(waiting_.front());
  waiting_.pop_front();
  std::vector<std::string> words;
  for (char** variable = environ; *variable != nullptr; ++variable) words.emplace_back(*variable);
  for (const auto& [name, value] : variables) words.push_back(fmt::format("{}={}", name, value));
  std::vector<char*> environment;
  for (std::string& word : words) environment.push_back(word.data());
  environment.push_back(nullptr);
  std::string shell = "/bin/sh";
  std::string option = "-c";
  char* const arguments[] = {shell.data(), option.data(), settings_.command.data(), nullptr};

  // The server blocks signals and ignores SIGPIPE; its children are to be like others.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  sigaddset(&usual, SIGXFSZ);
  sigaddset(&usual, SIGTTIN);
  sigaddset(&usual, SIGTTOU);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);  // one of its own, to be ended as a whole
  started_ = now_();
  const int error =
      posix_spawn(&running_, shell.c_str(), nullptr, &attributes, arguments, environment.data());
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    running_ = 0;
    log_({LogLevel::warning, fmt::format("the watermark command cannot be run: {}: {}",
                                         std::strerror(error), settings_.command)});
  }
}

}  // namespace uvdo
