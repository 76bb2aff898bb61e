// SPDX-License-Identifier: GPL-2.0-or-later
// A machine that goes down tells its servers to end while it unmounts what is on their devices:
// what systemd orders by itself is only a mount that names /dev/uvdo/NAME and a server with a unit.
// A mount by UUID or by hand, LVM on top, or a server that was started by hand would be left
// without its server, and its unmounting would hang. So the server goes on until nobody uses its
// devices.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "async/uring_loop.h"
#include "base/log.h"

namespace uvdo {

/// Whether systemd is bringing this machine down. It asks systemd: for a thread of its own.
[[nodiscard]] bool machine_is_going_down();

class LastUsers {
 public:
  struct Settings {
    /// Both are called in a thread.
    std::function<bool()> is_going_down = machine_is_going_down;
    std::function<std::vector<std::string>(const std::string& device)> users_of;  ///< in words
    /// Less than the 15 minutes that uvdo@.service has to stop: the rest is for saving.
    Duration patience = std::chrono::minutes(10);
    Duration pause = std::chrono::milliseconds(500);
  };
  /// Users are those that DeviceUsers::last_of() tells.
  [[nodiscard]] static Settings of_this_machine();

  LastUsers(UringLoop& loop, Settings settings, LogFunction log)
      : loop_(loop), settings_(std::move(settings)), log_(std::move(log)) {}

  /// Returns when nobody uses what `devices` tells the paths of, or patience has ended, which is
  /// said in the log; at once if the machine does not go down.
  Task<void> wait(std::function<std::vector<std::string>()> devices) const;

 private:
  Task<bool> is_going_down() const;
  Task<std::vector<std::string>> users_of(std::vector<std::string> devices) const;

  UringLoop& loop_;
  Settings settings_;
  LogFunction log_;
};

}  // namespace uvdo
