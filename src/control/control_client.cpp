// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_client.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/socket_peer.h"
#include "control/control_path.h"
#include "control/control_trust.h"
#include "control/volume_identity.h"
#include "device/open_device.h"

namespace uvdo {
namespace {

/// Why the volume cannot be looked at: somebody has it. Success if nobody has.
Result<void> check_unused(const std::string& volume) {
  auto opened = open_blocking_device(volume, OpenMode::read_only);
  if (!opened && opened.error().code() == Errc::busy) return std::move(opened).error();
  return {};
}

/// Of errno. The socket of a server that was killed takes connections for a moment longer, and
/// resets them when the kernel has cleared the server away: then nobody serves.
Error connection_error(const std::string& path, std::string_view what) {
  if (errno == ECONNRESET || errno == EPIPE) {
    return {Errc::not_found, fmt::format("no server answers at {}", path)};
  }
  return errno_error(errno, fmt::format("{} {}", what, path));
}

/// Lets connect(), send() and recv() fail with EAGAIN after `patience`.
void limit_waits(int fd, std::chrono::milliseconds patience) {
  timeval limit{};
  limit.tv_sec = patience.count() / 1000;
  limit.tv_usec = patience.count() % 1000 * 1000;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

/// The letter of a process's state, as of proc(5).
char state_of_process(pid_t pid) {
  auto file = FileDescriptor(open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> text{};
  const ssize_t length = file ? read(file.get(), text.data(), text.size() - 1) : 0;
  const std::string_view line(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::size_t name_end = line.rfind(") ");
  return name_end == std::string_view::npos || name_end + 2 >= line.size() ? '?'
                                                                           : line[name_end + 2];
}

Error silent_server(int fd, const std::string& path, std::chrono::milliseconds patience) {
  const auto peer = socket_peer(fd);
  const bool known = peer && peer->pid > 0;
  const std::string who = known ? fmt::format("the server (pid {})", peer->pid) : "the server";
  std::string why = "it may be busy, wait for its disk, or hang; --timeout gives it longer";
  const char state = known ? state_of_process(peer->pid) : '?';
  if (state == 'T') {
    why = fmt::format("it has been stopped by a signal; kill -CONT {} lets it go on", peer->pid);
  } else if (state == 'D') {
    why = "it waits for its disk; --timeout gives it longer";
  }
  return {Errc::busy, fmt::format("{} at {} has not answered within {:g} seconds: {}", who, path,
                                  std::chrono::duration<double>(patience).count(), why)};
}

}  // namespace

Result<ControlConnection> ControlConnection::open(const std::string& path,
                                                  std::chrono::milliseconds patience,
                                                  std::optional<uid_t> user) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error(Errc::invalid_argument, fmt::format("the socket path {} is too long", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, "making a socket");
  limit_waits(fd.get(), patience);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return Error(Errc::not_found, fmt::format("no server answers at {}", path));
    }
    if (errno == EAGAIN) return silent_server(fd.get(), path, patience);
    return errno_error(errno, fmt::format("connecting to {}", path));
  }
  // Before anything is said to who is at the other end.
  if (auto trusted = trust_socket_folder(path, user.value_or(geteuid())); !trusted) {
    return std::move(trusted).error();
  }
  if (auto trusted = trust_peer(fd.get(), path, user.value_or(geteuid())); !trusted) {
    return std::move(trusted).error();
  }
  return ControlConnection(std::move(fd), path, patience);
}

Result<void> ControlConnection::send_line(const std::string& line) {
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return silent_server(fd_.get(), path_, patience_);
    if (n < 0 && errno != EINTR) return connection_error(path_, "writing to");
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  return {};
}

Result<std::string> ControlConnection::receive_line() {
  std::array<char, 16384> buffer{};
  std::size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return silent_server(fd_.get(), path_, patience_);
    if (n < 0) return connection_error(path_, "reading from");
    if (n == 0) return Error(Errc::io, "the server ended the connection without an answer");
    received_.append(buffer.data(), static_cast<std::size_t>(n));
    if (received_.find_first_not_of(' ') == std::string::npos) received_.clear();  // signs of life
  }
  std::string line = received_.substr(0, end);
  received_.erase(0, end + 1);
  return line;
}

Result<Json> ControlConnection::ask(ControlRequest request) {
  if (auto sent = send_line(request_text(std::move(request)) + "\n"); !sent) {
    return std::move(sent).error();
  }
  auto reply = receive_line();
  if (!reply) return std::move(reply).error();
  auto result = parse_reply(*reply);
  // Only we ourselves say not_found: nobody serves.
  if (!result && result.error().code() == Errc::not_found) {
    return Error(Errc::unsupported, result.error().message());
  }
  return result;
}

namespace {

/// Where a socket's path comes from: a client's user, the number of the volume's file or device,
/// which may have been that of another volume before, or the volume's own path.
enum class PathFrom : std::uint8_t { user, number, path };

/// Asks the server at `path`, if it is that of the volume. not_found: nobody serves there, or, at a
/// path made of a number, another volume is served there.
Result<Json> ask_server_of(const std::string& path, PathFrom from, const std::string& volume,
                           const ControlRequest& request, std::chrono::milliseconds patience) {
  auto connection = ControlConnection::open(path, patience);
  if (!connection) return std::move(connection).error();
  auto hello = connection->ask(HelloRequest());
  // A server of an earlier version knows no such command; at its usual place it is the right one.
  const bool is_older = !hello && hello.error().code() == Errc::invalid_argument;
  if (is_older && from != PathFrom::user) return connection->ask(request);
  if (!hello) return std::move(hello).error();
  if (from == PathFrom::number && !is_server_of(*hello, volume)) {
    return Error(Errc::not_found, fmt::format("the server at {} has {}", path, hello->volume));
  }
  if (auto same = check_hello(*hello, volume); !same) return std::move(same).error();
  return connection->ask(request);
}

bool is_not_there(const Result<Json>& answer) {
  return !answer && answer.error().code() == Errc::not_found;
}

/// Asks where a server of the volume may listen, in turn. `usual`: where those of its number do.
Result<Json> ask_where_it_may_be(const std::string& volume,
                                 const Result<std::vector<std::string>>& usual,
                                 const ControlRequest& request,
                                 std::chrono::milliseconds patience) {
  if (usual) {
    for (const std::string& path : *usual) {
      auto answer = ask_server_of(path, PathFrom::number, volume, request, patience);
      if (!is_not_there(answer)) return answer;
    }
  }
  // The file of a suspended volume may have been moved away or replaced.
  auto answer = ask_server_of(control_link_of(volume), PathFrom::path, volume, request, patience);
  if (is_not_there(answer) && usual) {
    return Error(Errc::not_found, fmt::format("no server answers at {}", usual->front()));
  }
  return answer;
}

}  // namespace

bool is_of_another_volume(const std::string& path, const std::string& volume) {
  auto connection = ControlConnection::open(path);
  if (!connection) return false;
  const auto hello = connection->ask(HelloRequest());
  return hello && !is_server_of(*hello, volume);
}

Result<Json> ask_volume(const std::string& volume, const ControlRequest& request,
                        const std::string& path, std::chrono::milliseconds patience) {
  // Where the server may be: at the path that the user gave; else at the names made of what the
  // volume is; else at that made of its path, which leads to a suspended volume.
  auto usual = control_paths_of(volume);
  auto answer = path.empty() ? ask_where_it_may_be(volume, usual, request, patience)
                             : ask_server_of(path, PathFrom::user, volume, request, patience);
  if (!is_not_there(answer)) return answer;
  // Nobody answers. Either nobody has the volume, or somebody who is not to be reached from here.
  if (!usual) return std::move(usual).error();
  if (const auto unused = check_unused(volume); !unused) {
    return Error(Errc::busy,
                 fmt::format("{}, or, as {}, ask as the user who serves it or give the --control "
                             "that uvdo serve was given",
                             unused.error().message(), answer.error().message()));
  }
  return Error(Errc::not_found, fmt::format("{} is not being served", volume));
}

void wait_until_free(const std::string& volume) {
  constexpr int kTries = 500;
  constexpr useconds_t kPauseMicroseconds = 10'000;
  for (int i = 0; i < kTries && !check_unused(volume); ++i) usleep(kPauseMicroseconds);
}

}  // namespace uvdo
