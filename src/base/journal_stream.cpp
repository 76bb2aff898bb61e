// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/journal_stream.h"

#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/absolute_path.h"

namespace uvdo {

std::string absolute_log_name(const std::string& name) {
  return name == kJournal ? name : absolute_path(name);
}

Result<FileDescriptor> open_journal_stream(std::string_view identifier, const std::string& socket) {
  FileDescriptor stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!stream) return errno_error(errno, "making a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) {
    return errno_error(ENAMETOOLONG, fmt::format("connecting to {}", socket));
  }
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  if (connect(stream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error(Errc::not_found, fmt::format("systemd's journal does not listen at {} ({}): name "
                                              "a file for the log",
                                              socket, std::strerror(errno)));
  }
  // Identifier, unit, level of lines that have none (6: info), whether lines begin with their
  // level, and whether they go to syslog, to the kernel's log and to the console as well.
  const std::string header = fmt::format("{}\n\n6\n1\n0\n0\n0\n", identifier);
  const ssize_t sent = send(stream.get(), header.data(), header.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(header.size())) {
    return errno_error(sent < 0 ? errno : EIO, fmt::format("greeting {}", socket));
  }
  return stream;
}

}  // namespace uvdo
