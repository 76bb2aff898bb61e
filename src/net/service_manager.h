// SPDX-License-Identifier: GPL-2.0-or-later
// Our side of systemd's two small protocols: sd_notify(3) datagrams, and the sockets that it hands
// over (sd_listen_fds(3)). Without a service manager all of it does nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

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

  /// The listening sockets that were handed to this process; none if there are none. They are
  /// handed out once: the environment is cleared, so that children do not take them too.
  static Result<std::vector<ListeningSocket>> take_sockets();

 private:
  void send(std::string_view message) const;
  std::string path_;
};

}  // namespace uvdo
