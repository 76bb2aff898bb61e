// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/service_manager.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor_message.h"

namespace uvdo {
namespace {

// SD_LISTEN_FDS_START.
constexpr int kFirstFd = 3;
constexpr int kMostFds = 256;
/// The names of what is stored by us begin so.
constexpr std::string_view kStoredPrefix = "uvdo-kept-";

template <class Number = int>
std::optional<Number> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  Number value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

/// The names of the descriptors that were handed over, in their order; as far as there are any.
std::vector<std::string> names_of_fds() {
  std::vector<std::string> names;
  const char* const text = std::getenv("LISTEN_FDNAMES");
  if (text == nullptr) return names;
  std::string_view rest = text;
  while (true) {
    const std::size_t colon = rest.find(':');
    names.emplace_back(rest.substr(0, colon));
    if (colon == std::string_view::npos) return names;
    rest.remove_prefix(colon + 1);
  }
}

bool is_stored(const std::vector<std::string>& names, int fd) {
  const auto index = static_cast<std::size_t>(fd - kFirstFd);
  return index < names.size() && names[index].starts_with(kStoredPrefix);
}

// A status is one line.
std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

ServiceManager::ServiceManager() {
  if (const char* path = std::getenv("NOTIFY_SOCKET")) path_ = path;
}

void ServiceManager::notify_ready(std::string_view status) const {
  send(fmt::format("READY=1\nSTATUS={}", one_line(status)));
}

void ServiceManager::notify_status(std::string_view status) const {
  send(fmt::format("STATUS={}", one_line(status)));
}

void ServiceManager::notify_stopping() const { send("STOPPING=1"); }

void ServiceManager::notify_alive() const { send("WATCHDOG=1", -1, Patience::none); }

std::optional<std::chrono::microseconds> ServiceManager::watchdog_period() {
  const auto period = number_in<std::int64_t>("WATCHDOG_USEC");
  const auto pid = number_in("WATCHDOG_PID");
  // For another process: a wrapper that did not exec has left its variables.
  if (!period || *period <= 0 || (pid && *pid != getpid())) return std::nullopt;
  return std::chrono::microseconds(*period);
}

Result<void> ServiceManager::store(int fd, std::string_view name) const {
  if (send(fmt::format("FDSTORE=1\nFDNAME={}{}", kStoredPrefix, name), fd)) return {};
  return Error(Errc::io, "the service manager takes no messages");
}

void ServiceManager::forget(std::string_view name) const {
  send(fmt::format("FDSTOREREMOVE=1\nFDNAME={}{}", kStoredPrefix, name));
}

bool ServiceManager::send(std::string_view message, int file, Patience patience) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof address.sun_path) return false;
  if (path_[0] != '/' && path_[0] != '@') return false;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (path_[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  // Nobody is the worse if the message is lost; a manager that takes none is not waited for longer.
  const timeval longest{.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
  const auto length = offsetof(sockaddr_un, sun_path) + path_.size();
  const SendTo manager{std::as_bytes(std::span(&address, 1)).first(length),
                       patience == Patience::none ? MSG_DONTWAIT : 0};
  const bool is_sent =
      send_message(fd, message, std::span(&file, 1).first(file < 0 ? 0 : 1), manager);
  close(fd);
  return is_sent;
}

std::vector<KeptDescriptor> ServiceManager::take_stored() {
  std::vector<KeptDescriptor> stored;
  const std::optional<int> pid = number_in("LISTEN_PID");
  const std::optional<int> count = number_in("LISTEN_FDS");
  if (!pid || !count || *pid != getpid() || *count > kMostFds) return stored;
  const auto names = names_of_fds();
  for (int fd = kFirstFd; fd < kFirstFd + *count; ++fd) {
    if (!is_stored(names, fd)) continue;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    const std::string& name = names[static_cast<std::size_t>(fd - kFirstFd)];
    stored.push_back({name.substr(kStoredPrefix.size()), FileDescriptor(fd)});
  }
  return stored;
}

void ServiceManager::pass_on(const std::vector<std::pair<std::string, int>>& all) {
  // Out of the way first: one may be where another belongs.
  std::vector<int> copies;
  std::string names;
  for (const auto& [name, fd] : all) {
    copies.push_back(fcntl(fd, F_DUPFD_CLOEXEC, kFirstFd + static_cast<int>(all.size())));
    names += fmt::format("{}{}{}", names.empty() ? "" : ":", kStoredPrefix, name);
  }
  for (std::size_t i = 0; i < copies.size(); ++i) dup2(copies[i], kFirstFd + static_cast<int>(i));
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(all.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", names.c_str(), 1);
}

Result<std::vector<ListeningSocket>> ServiceManager::take_sockets() {
  std::vector<ListeningSocket> sockets;
  const std::optional<int> pid = number_in("LISTEN_PID");
  const std::optional<int> count = number_in("LISTEN_FDS");
  // For another process: a wrapper that did not exec has left its variables.
  if (!pid || !count || *pid != getpid()) return sockets;
  const auto names = names_of_fds();
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  if (*count < 0 || *count > kMostFds) {
    return Error(Errc::invalid_argument,
                 fmt::format("LISTEN_FDS={} is not a number of sockets", *count));
  }
  for (int fd = kFirstFd; fd < kFirstFd + *count; ++fd) {
    if (is_stored(names, fd)) continue;
    // The manager hands them over without it; commands of the user's must not inherit them.
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    auto adopted = ListeningSocket::adopt(fd);
    if (!adopted) return std::move(adopted).error().within("socket activation");
    sockets.push_back(std::move(*adopted));
  }
  return sockets;
}

}  // namespace uvdo
