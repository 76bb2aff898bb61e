// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/doors.h"

#include <iterator>

#include "control/control_client.h"

namespace uvdo {
namespace {

Result<void> open_into(std::vector<ListeningSocket>& sockets, const SocketAddress& address,
                       const SocketAccess& access, const DoorSettings& settings) {
  auto opened =
      ListeningSocket::open(address, settings.account ? settings.account->owning(access) : access);
  if (!opened) return std::move(opened).error();
  std::move(opened->begin(), opened->end(), std::back_inserter(sockets));
  return {};
}

}  // namespace

Result<std::string> find_control_path(const DoorSettings& settings) {
  if (!settings.control.empty()) return settings.control;
  if (!settings.control_path.empty()) return settings.control_path;
  auto made = make_control_folder();
  if (!made) return std::move(made).error();
  auto paths = control_paths_of(settings.volume);
  if (!paths) return std::move(paths).error();
  for (const std::string& path : *paths) {
    if (!is_of_another_volume(path, settings.volume)) return path;
  }
  return paths->front();  // that somebody listens there is said when it is opened
}

Result<Doors> Doors::open(DoorSettings settings) {
  Doors doors;
  doors.nbd = std::move(settings.inherited);
  for (const SocketAddress& address : settings.nbd) {
    auto opened = open_into(doors.nbd, address, settings.access, settings);
    if (!opened) return std::move(opened).error();
  }
  for (const SocketAddress& address : settings.metrics) {
    auto opened = open_into(doors.metrics, address, settings.access, settings);
    if (!opened) return std::move(opened).error().within("metrics");
  }
  auto path = find_control_path(settings);
  if (!path) return std::move(path).error();
  doors.control_path = std::move(*path);
  SocketAddress control;
  control.path = doors.control_path;
  auto opened = open_into(doors.control, control, SocketAccess(), settings);
  if (!opened) return std::move(opened).error().within("control socket");
  // A socket at a path of the user's is found by that path.
  doors.control_link = std::make_unique<ControlLink>(
      settings.volume, settings.control.empty() ? doors.control_path : std::string());
  // A server without the rights of root could not make it when it is needed.
  if (settings.account) doors.control_link->keep(true);
  return doors;
}

}  // namespace uvdo
