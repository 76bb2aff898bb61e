// SPDX-License-Identifier: GPL-2.0-or-later
// The servers on this machine, by the control sockets where they listen by default.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

#include "control/control_client.h"
#include "control/device_message.h"
#include "control/hello_message.h"
#include "statistics/statistics.h"

namespace uvdo {

/// A server that answered.
struct RunningServer {
  std::string control;  ///< its socket
  uid_t user = 0;       ///< whose it is
  HelloAnswer hello;
  DevicesAnswer devices{};  ///< none of a server of a version that makes no devices

  /// What `request` is answered with.
  template <ControlMessage Request>
  [[nodiscard]] Result<typename Request::Answer> ask(
      const Request& request, std::chrono::milliseconds patience = kAnswerPatience) const {
    auto connection = ControlConnection::open(control, patience, user);
    if (!connection) return std::move(connection).error();
    return connection->ask(request);
  }
};

struct RunningServers {
  std::vector<RunningServer> servers{};
  std::vector<Error> silent{};  ///< of those that do not answer in time, or are not believed
};

/// Those of this user; for root, of all users.
[[nodiscard]] RunningServers running_servers(std::chrono::milliseconds patience = kAnswerPatience);

/// "normal", "read-only", "recovering" or "suspended".
[[nodiscard]] std::string state_of(const VolumeStatistics& statistics);

}  // namespace uvdo
