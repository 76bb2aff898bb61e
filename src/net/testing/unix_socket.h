// SPDX-License-Identifier: GPL-2.0-or-later
// The plain, blocking ends of a unix socket, for tests of who talks over one.
#pragma once

#include <string>

#include <sys/socket.h>
#include <sys/un.h>

#include "base/check.h"
#include "base/file_descriptor.h"

namespace uvdo::testing {

inline sockaddr_un unix_socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  check(path.size() < sizeof address.sun_path, "a path that a socket can have");
  path.copy(std::begin(address.sun_path), sizeof address.sun_path - 1);
  return address;
}

/// A socket that listens at `path`; none if that cannot be.
[[nodiscard]] inline FileDescriptor listen_at(const std::string& path) {
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_socket_address(path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd.get(), generic, sizeof address) == 0 && listen(fd.get(), 1) == 0) return fd;
  return {};
}

/// A connection to who listens at `path`; none if nobody does.
[[nodiscard]] inline FileDescriptor connect_to(const std::string& path) {
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_socket_address(path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (connect(fd.get(), generic, sizeof address) == 0) return fd;
  return {};
}

}  // namespace uvdo::testing
