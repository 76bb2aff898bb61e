// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/service_manager.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace uvdo {
namespace {

// SD_LISTEN_FDS_START.
constexpr int kFirstFd = 3;
constexpr int kMostFds = 256;

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
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

void ServiceManager::send(std::string_view message) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof address.sun_path) return;
  if (path_[0] != '/' && path_[0] != '@') return;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (path_[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  // Nobody is the worse if the message is lost; a manager that takes none is not waited for longer.
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  [[maybe_unused]] const auto sent = sendto(
      fd, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size()));
  close(fd);
}

Result<std::vector<ListeningSocket>> ServiceManager::take_sockets() {
  std::vector<ListeningSocket> sockets;
  const std::optional<int> pid = number_in("LISTEN_PID");
  const std::optional<int> count = number_in("LISTEN_FDS");
  // For another process: a wrapper that did not exec has left its variables.
  if (!pid || !count || *pid != getpid()) return sockets;
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  if (*count < 0 || *count > kMostFds) {
    return Error(Errc::invalid_argument,
                 fmt::format("LISTEN_FDS={} is not a number of sockets", *count));
  }
  for (int fd = kFirstFd; fd < kFirstFd + *count; ++fd) {
    // The manager hands them over without it; commands of the user's must not inherit them.
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    auto adopted = ListeningSocket::adopt(fd);
    if (!adopted) return std::move(adopted).error().within("socket activation");
    sockets.push_back(std::move(*adopted));
  }
  return sockets;
}

}  // namespace uvdo
