// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/doors.h"

#include <iterator>

namespace uvdo {
namespace {

Result<void> open_into(std::vector<ListeningSocket>& sockets, const SocketAddress& address,
                       const SocketAccess& access, const ServeOptions& options) {
  auto opened =
      ListeningSocket::open(address, options.account ? options.account->owning(access) : access);
  if (!opened) return std::move(opened).error();
  std::move(opened->begin(), opened->end(), std::back_inserter(sockets));
  return {};
}

/// The path that --control says, or where clients look.
Result<std::string> find_control_path(const ServeOptions& options) {
  if (!options.control.empty()) return options.control;
  auto made = make_control_folder();
  if (!made) return std::move(made).error();
  return control_path_of(options.volume);
}

}  // namespace

Result<Doors> Doors::open(ServeOptions& options) {
  Doors doors;
  doors.nbd = std::move(options.inherited);
  for (const SocketAddress& address : options.addresses) {
    auto opened = open_into(doors.nbd, address, options.access, options);
    if (!opened) return std::move(opened).error();
  }
  for (const SocketAddress& address : options.metrics_addresses) {
    auto opened = open_into(doors.metrics, address, options.access, options);
    if (!opened) return std::move(opened).error().within("metrics");
  }
  auto path = find_control_path(options);
  if (!path) return std::move(path).error();
  doors.control_path = std::move(*path);
  SocketAddress control;
  control.path = doors.control_path;
  auto opened = open_into(doors.control, control, SocketAccess(), options);
  if (!opened) return std::move(opened).error().within("control socket");
  doors.control_link = std::make_unique<ControlLink>(
      options.volume, options.control.empty() ? doors.control_path : std::string());
  // A server without the rights of root could not make it when it is needed.
  if (options.account) doors.control_link->keep(true);
  return doors;
}

}  // namespace uvdo
