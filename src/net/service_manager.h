// SPDX-License-Identifier: GPL-2.0-or-later
// Our side of systemd's two small protocols: sd_notify(3) datagrams, and the sockets that it hands
// over (sd_listen_fds(3)). Without a service manager all of it does nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/kept_descriptor.h"
#include "net/socket_address.h"

namespace uvdo {

/// Messages are for people and for the order of services: one that is lost changes nothing here, so
/// none is answered and no error told. A send waits for a second at most.
class ServiceManager {
 public:
  /// Talks to the socket that NOTIFY_SOCKET names.
  ServiceManager();
  /// Talks to `notify_socket` ("" for nobody, "@x" for an abstract socket).
  explicit ServiceManager(std::string notify_socket) : path_(std::move(notify_socket)) {}

  /// The service is up, with one line about its state.
  void notify_ready(std::string_view status) const;
  void notify_status(std::string_view status) const;
  /// The service ends: the manager does not take it for a crash.
  void notify_stopping() const;
  /// The service works, as a unit with WatchdogSec= wants to be told at least twice in
  /// watchdog_period(). It never waits: where the manager takes nothing, it does not look either.
  void notify_alive() const;
  /// How long the manager waits for that before it takes the service for hung; nothing: it doesn't.
  [[nodiscard]] static std::optional<std::chrono::microseconds> watchdog_period();

  [[nodiscard]] bool is_there() const { return !path_.empty(); }

  // ---- its store of descriptors (FDSTORE=1), which outlives this process where the unit has
  // FileDescriptorStoreMax=
  /// Has a copy of `fd` stored as `name`. Whether the unit lets it cannot be known. io: the manager
  /// is not reached.
  Result<void> store(int fd, std::string_view name) const;
  void forget(std::string_view name) const;
  /// What was stored before this process was started. Once, and before take_sockets(), which
  /// leaves it out.
  static std::vector<KeptDescriptor> take_stored();

  /// Hands descriptors over to the program that this process is about to become (exec), as a
  /// service manager does: take_stored() has them there. `all`: their names and numbers. What else
  /// is at the numbers that they get is closed.
  static void pass_on(const std::vector<std::pair<std::string, int>>& all);

  /// The listening sockets that were handed to this process; none if there are none. They are
  /// handed out once: the environment is cleared, so that children do not take them too.
  static Result<std::vector<ListeningSocket>> take_sockets();

 private:
  enum class Patience : std::uint8_t { second, none };
  bool send(std::string_view message, int fd = -1, Patience patience = Patience::second) const;
  std::string path_;
};

}  // namespace uvdo
