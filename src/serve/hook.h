// SPDX-License-Identifier: GPL-2.0-or-later
// Runs a command of the user when something has happened, by /bin/sh, with what has happened in
// its environment. One runs at a time; those that come meanwhile wait.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "base/log.h"

namespace uvdo {

class Hook {
 public:
  using Variables = std::vector<std::pair<std::string, std::string>>;

  /// An empty `command`: nothing is ever run.
  Hook(std::string command, LogFunction log) : command_(std::move(command)), log_(std::move(log)) {}
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;

  /// What is run from now on.
  void set_command(std::string command) { command_ = std::move(command); }
  void run(Variables variables);
  /// To be called now and then: notes the end of a run, and begins the next one.
  void poll();

 private:
  static constexpr std::size_t kMostWaiting = 16;
  void start_next();

  std::string command_;
  LogFunction log_;
  std::deque<Variables> waiting_;
  pid_t running_ = 0;
};

}  // namespace uvdo
