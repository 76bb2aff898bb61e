// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/hook.h"

#include <csignal>
#include <cstring>

#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace uvdo {

void Hook::run(Variables variables) {
  if (command_.empty()) return;
  if (waiting_.size() == kMostWaiting) waiting_.pop_front();  // what is newer tells more
  waiting_.push_back(std::move(variables));
  poll();
}

void Hook::poll() {
  if (running_ != 0) {
    int status = 0;
    const pid_t ended = waitpid(running_, &status, WNOHANG);
    if (ended == 0) return;
    running_ = 0;
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
      log_({LogLevel::warning, fmt::format("the watermark command failed with status {}: {}",
                                           WEXITSTATUS(status), command_)});
    } else if (ended > 0 && WIFSIGNALED(status)) {
      log_({LogLevel::warning, fmt::format("the watermark command was ended by signal {}: {}",
                                           WTERMSIG(status), command_)});
    }
  }
  if (!waiting_.empty()) start_next();
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
  char* const arguments[] = {shell.data(), option.data(), command_.data(), nullptr};

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
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error =
      posix_spawn(&running_, shell.c_str(), nullptr, &attributes, arguments, environment.data());
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    running_ = 0;
    log_({LogLevel::warning, fmt::format("the watermark command cannot be run: {}: {}",
                                         std::strerror(error), command_)});
  }
}

}  // namespace uvdo
