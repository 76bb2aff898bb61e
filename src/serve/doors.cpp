// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/doors.h"

#include <algorithm>
#include <iterator>

#include <fmt/core.h>

#include "control/control_client.h"

namespace uvdo {
namespace {

constexpr std::string_view kSocket = "socket-";
constexpr const char* kNbd = "socket-nbd";
constexpr const char* kActivated = "socket-activated";
constexpr const char* kMetrics = "socket-metrics";
constexpr const char* kWeb = "socket-web";
constexpr const char* kControl = "socket-control";

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
  // Nobody answers there yet.
  for (const KeptDescriptor& one : settings.handed_over) {
    if (one.name != kControl) continue;
    SocketPath path = SocketPath::of(one.fd.get());
    std::string text = path.text();
    path.leave();
    return text;
  }
  auto made = make_control_folder();
  if (!made) return std::move(made).error();
  auto paths = control_paths_of(settings.volume);
  if (!paths) return std::move(paths).error();
  for (const std::string& path : *paths) {
    if (!is_of_another_volume(path, settings.volume)) return path;
  }
  return paths->front();  // that somebody listens there is said when it is opened
}

bool Doors::is_socket_name(std::string_view name) { return name.starts_with(kSocket); }

bool Doors::is_own_socket(std::string_view name) {
  return is_socket_name(name) && name != kActivated;
}

std::vector<std::pair<std::string, ListeningSocket*>> Doors::named() {
  std::vector<std::pair<std::string, ListeningSocket*>> all;
  for (ListeningSocket& each : nbd) {
    const bool is_own = !each.is_unix() || each.has_path();
    all.emplace_back(is_own ? kNbd : kActivated, &each);
  }
  for (ListeningSocket& each : metrics) all.emplace_back(kMetrics, &each);
  for (ListeningSocket& each : web) all.emplace_back(kWeb, &each);
  for (ListeningSocket& each : control) all.emplace_back(kControl, &each);
  return all;
}

void Doors::name_web(const SocketAddress& address) {
  if (!address.host.empty()) web_names.push_back(address.host);
}

Result<Doors> Doors::take_over(DoorSettings settings) {
  Doors doors;
  for (KeptDescriptor& one : settings.handed_over) {
    auto taken = is_own_socket(one.name) ? ListeningSocket::take_over(one.fd.get())
                                         : ListeningSocket::adopt(one.fd.get());
    if (!taken) return std::move(taken).error().within("a socket of the program before");
    static_cast<void>(one.fd.release());
    auto& sockets = one.name == kControl   ? doors.control
                    : one.name == kMetrics ? doors.metrics
                    : one.name == kWeb     ? doors.web
                                           : doors.nbd;
    sockets.push_back(std::move(*taken));
  }
  for (const SocketAddress& address : settings.web) doors.name_web(address);
  auto path = find_control_path(settings);
  if (!path) return std::move(path).error();
  doors.control_path = std::move(*path);
  doors.control_link = std::make_unique<ControlLink>(
      settings.volume, settings.control.empty() ? doors.control_path : std::string());
  return doors;
}

Result<Doors> Doors::open(DoorSettings settings) {
  if (!settings.handed_over.empty()) return take_over(std::move(settings));
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
  for (const SocketAddress& address : settings.web) {
    auto opened = open_into(doors.web, address, settings.access, settings);
    if (!opened) return std::move(opened).error().within("status page");
    // Whatever a name such as localhost has led to.
    if (!settings.web_is_remote && std::ranges::any_of(doors.web, &ListeningSocket::is_remote)) {
      return Error(Errc::invalid_argument,
                   fmt::format("other machines may reach {}: give --web-remote if they shall see "
                               "the status page",
                               address.text()));
    }
    doors.name_web(address);
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
