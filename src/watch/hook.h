// SPDX-License-Identifier: GPL-2.0-or-later
// Runs a command of the user when something has happened, by /bin/sh, with what has happened in
// its environment. One runs at a time; those that come meanwhile wait. One that takes too long, or
// is still there when the server ends, is killed with all that it has started (its process group).
// The shell is also killed when the server is, however that happened.
//
// Nothing here waits for a process: a command may itself wait for the volume (fstrim on what lies
// on it), whose requests are carried out by the thread that calls this, and one that waits for a
// disk cannot even be killed.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "async/executor.h"
#include "base/log.h"

namespace uvdo {

/// Runs are in the order of run(). Who calls poll() decides how soon an end is seen.
class Hook {
 public:
  using Variables = std::vector<std::pair<std::string, std::string>>;

  struct Settings {
    std::string command;                        ///< empty: nothing is ever run
    Duration limit = std::chrono::seconds(60);  ///< for a run
  };
  /// `now` tells the time by which runs are limited.
  Hook(Settings settings, std::function<TimePoint()> now, LogFunction log)
      : settings_(std::move(settings)), now_(std::move(now)), log_(std::move(log)) {}
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;
  /// Gives a run that is killed a second to end.
  ~Hook();

  /// What is run from now on.
  void set_command(std::string command) { settings_.command = std::move(command); }
  /// Has the command run with `variables` added to this process's environment, at once if none
  /// runs. When too many wait the oldest is dropped.
  void run(Variables variables);
  /// To be called now and then: notes the end of a run or ends it, and begins the next one.
  void poll();
  /// Whether a command runs, or waits for that.
  [[nodiscard]] bool is_busy() const { return running_ != 0 || !waiting_.empty(); }

 private:
  static constexpr std::size_t kMostWaiting = 256;  // more than there are marks, up and down
  void start_next();
  /// Whether nothing runs any more.
  bool reap();
  void tell_end(int status);
  /// Its end is noted by reap().
  void kill_running();

  Settings settings_;
  std::function<TimePoint()> now_;
  LogFunction log_;
  std::deque<Variables> waiting_;
  pid_t running_ = 0;  // also the number of its process group
  bool is_killed_ = false;
  TimePoint started_{};
};

}  // namespace uvdo
