// SPDX-License-Identifier: GPL-2.0-or-later
// The sockets at which a server is reached. They can be there before the volume is open, for a
// server that gives up its rights in between.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/control_path.h"
#include "net/kept_descriptor.h"
#include "net/socket_address.h"
#include "serve/account.h"

namespace uvdo {

/// What is to be opened, and for whom.
struct DoorSettings {
  std::string volume;                      ///< its path
  std::vector<SocketAddress> nbd;          ///< to listen at
  std::vector<ListeningSocket> inherited;  ///< of the service manager, for NBD
  std::vector<SocketAddress> metrics;      ///< one or none
  std::vector<SocketAddress> web;          ///< one or none
  bool web_is_remote = false;              ///< other machines may reach that one
  std::string control;  ///< path of the control socket; empty: where clients look
  /// Where that is for this server: find_control_path(); empty: it is looked for.
  std::string control_path{};
  /// Of a program before this one in this process (Doors::named()): they are taken over, and no
  /// others are opened.
  std::vector<KeptDescriptor> handed_over{};
  SocketAccess access;             ///< of the sockets of clients, of metrics and of the status page
  std::optional<Account> account;  ///< that the server will go on as
};

/// Where the control socket is to be: the given path, or the first usual one that no server of
/// another volume has. Makes the folder of the usual ones.
Result<std::string> find_control_path(const DoorSettings& settings);

/// Sockets that listen but from which nobody accepts yet: clients that connect wait in the kernel's
/// queue until the server starts.
struct Doors {
  std::vector<ListeningSocket> nbd;
  std::vector<ListeningSocket> metrics;
  std::vector<ListeningSocket> web;
  std::vector<std::string> web_names;    ///< hosts that the address of these was given by
  std::vector<ListeningSocket> control;  ///< one
  std::string control_path;
  /// Goes with the control socket: removed when the server ends.
  std::unique_ptr<ControlLink> control_link;

  /// Those that listen, each with a name that says what it is for.
  [[nodiscard]] std::vector<std::pair<std::string, ListeningSocket*>> named();
  [[nodiscard]] static bool is_socket_name(std::string_view name);
  /// Whether this program has opened it, and not a service manager.
  [[nodiscard]] static bool is_own_socket(std::string_view name);

  /// Opens all that `settings` name; nobody is let in yet. The inherited ones are taken over.
  static Result<Doors> open(DoorSettings settings);

 private:
  static Result<Doors> take_over(DoorSettings settings);
  void name_web(const SocketAddress& address);
};

}  // namespace uvdo
