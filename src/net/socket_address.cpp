// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/socket_address.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "base/socket_peer.h"

namespace uvdo {
namespace {

// Connections that the kernel keeps until they are accepted.
constexpr int kBacklog = 128;

Error bad_address(std::string_view text, std::string_view why) {
  return {Errc::invalid_argument,
          fmt::format("\"{}\" is no address to listen on: {}; write unix:PATH or tcp:HOST:PORT",
                      text, why)};
}

Result<std::uint16_t> parse_port(std::string_view whole, std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) {
    return bad_address(whole, fmt::format("\"{}\" is not a port from 0 to 65535", text));
  }
  return port;
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error(Errc::invalid_argument,
                 fmt::format("the socket path {} is longer than the {} bytes that the system "
                             "allows; choose a shorter one",
                             path, sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// Makes `path` free for a new socket: removes one that nobody listens on.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return errno_error(errno, fmt::format("looking at {}", path));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Error(
        Errc::exists,
        fmt::format("{} exists and is not a socket; remove it or choose another path", path));
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return errno_error(errno, "making a socket");
  // Only a refusal shows that nobody listens. Any other error (such as a full queue, EAGAIN) may
  // come from a server that lives.
  const bool refused =
      connect(probe, generic(address), sizeof address) != 0 && errno == ECONNREFUSED;
  close(probe);
  if (!refused) {
    return Error(Errc::busy, fmt::format("another server listens on {}; stop it or choose "
                                         "another path",
                                         path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return errno_error(errno, fmt::format("removing the stale socket {}", path));
  }
  return {};
}

/// Whether it is a socket of this process's user under one name. Others can put something in its
/// place where they may write, but nothing that is ours alone.
bool is_own_socket(const struct stat& status) {
  return S_ISSOCK(status.st_mode) && status.st_uid == geteuid() && status.st_nlink == 1;
}

/// Gives a socket that has just been made to its owner and group, and then all of the mode. By a
/// descriptor of what was looked at: the name may lead somewhere else by then, where others may
/// write.
Result<void> give_away(const std::string& path, const SocketAccess& access,
                       const struct stat& made) {
  if (!access.is_given()) return {};
  const FileDescriptor socket(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!socket || fstat(socket.get(), &status) != 0 || status.st_ino != made.st_ino ||
      status.st_dev != made.st_dev || !is_own_socket(status)) {
    return Error(Errc::io, fmt::format("{} was replaced while it was made", path));
  }
  if (fchownat(socket.get(), "", access.owner.value_or(static_cast<uid_t>(-1)),
               access.group.value_or(static_cast<gid_t>(-1)), AT_EMPTY_PATH) != 0) {
    return errno_error(errno, fmt::format("giving {} to another user or group", path));
  }
  if (chmod(fmt::format("/proc/self/fd/{}", socket.get()).c_str(), access.mode) != 0) {
    return errno_error(errno, fmt::format("setting the mode of {}", path));
  }
  return {};
}

std::string name_of_tcp(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "tcp";
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                  port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "tcp";
  }
  return address.ss_family == AF_INET6 ? fmt::format("tcp:[{}]:{}", host.data(), port.data())
                                       : fmt::format("tcp:{}:{}", host.data(), port.data());
}

}  // namespace

Result<SocketAccess> SocketAccess::parse(std::string_view mode, const std::string& group) {
  SocketAccess access;
  constexpr int kOctal = 8;
  const char* const last = mode.data() + mode.size();
  const auto [end, error] = std::from_chars(mode.data(), last, access.mode, kOctal);
  if (error != std::errc() || end != last || access.mode > 0777 ||
      (access.mode & (S_IRUSR | S_IWUSR)) != (S_IRUSR | S_IWUSR)) {
    return Error(Errc::invalid_argument,
                 fmt::format("--socket-mode is \"{}\"; it takes an octal mode from 0600 to 0777 "
                             "that lets its owner read and write, such as 0660",
                             mode));
  }
  if (group.empty()) return access;
  // A name that looks like a number is a name first.
  if (const ::group* found = getgrnam(group.c_str()); found != nullptr) {
    access.group = found->gr_gid;
    return access;
  }
  gid_t number = 0;
  const auto [rest, wrong] = std::from_chars(group.data(), group.data() + group.size(), number);
  if (wrong == std::errc() && rest == group.data() + group.size()) {
    access.group = number;
    return access;
  }
  return Error(Errc::invalid_argument,
               fmt::format("--socket-group is \"{}\", but there is no group of this name", group));
}

Result<SocketAddress> SocketAddress::parse(std::string_view text) {
  SocketAddress address;
  if (text.starts_with("unix:")) {
    address.path = text.substr(5);
    if (address.path.empty()) return bad_address(text, "the path is missing");
    if (auto fits = unix_address(address.path); !fits) return std::move(fits).error();
    return address;
  }
  if (!text.starts_with("tcp:")) return bad_address(text, "it begins neither unix: nor tcp:");
  address.kind = Kind::tcp;
  std::string_view rest = text.substr(4);
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad_address(text, "a closing ] is missing");
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (rest.empty()) return address;
    if (!rest.starts_with(':')) return bad_address(text, "a : and the port belong behind ]");
    port = rest.substr(1);
  } else {
    const std::size_t colon = rest.find(':');
    // More than one colon is an IPv6 address, whose last part could be taken for a port.
    if (colon != rest.rfind(':')) return bad_address(text, "an IPv6 address belongs in [ ]");
    address.host = rest.substr(0, colon);
    if (address.host == "*") address.host.clear();
    if (colon == std::string_view::npos) {
      if (rest.empty()) return bad_address(text, "the host is missing");
      return address;
    }
    port = rest.substr(colon + 1);
  }
  auto number = parse_port(text, port);
  if (!number) return std::move(number).error();
  address.port = *number;
  return address;
}

std::string SocketAddress::text() const {
  if (kind == Kind::unix_path) return fmt::format("unix:{}", path);
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("tcp:[{}]:{}", host, port) : fmt::format("tcp:{}:{}", host, port);
}

std::string peer_text(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "gone";
  if (address.ss_family == AF_UNIX) {
    const auto peer = socket_peer(fd);
    return peer && peer->pid > 0 ? fmt::format("process {}", peer->pid) : "unix";
  }
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                  port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "tcp";
  }
  SocketAddress peer{SocketAddress::Kind::tcp, {}, host.data()};
  std::from_chars(port.data(), port.data() + std::strlen(port.data()), peer.port);
  return peer.text();
}

Result<std::vector<ListeningSocket>> ListeningSocket::open(const SocketAddress& address,
                                                           const SocketAccess& access) {
  std::vector<ListeningSocket> sockets;
  if (address.kind == SocketAddress::Kind::unix_path) {
    auto made = open_unix(address.path, access);
    if (!made) return std::move(made).error();
    sockets.push_back(std::move(*made));
    return sockets;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(),
                                std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("cannot listen on {}: {}", address.text(), gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
  // An address of a family that is not there is passed over as long as another can be had:
  // localhost is 127.0.0.1 and ::1, and many machines have only one of them. Any other error of
  // bind() or listen() is one of all.
  int last_error = 0;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {  // such as IPv6 where it is switched off
      last_error = errno;
      continue;
    }
    ListeningSocket made(fd);
    const int yes = 1;
    // REUSEADDR: a server that starts again need not wait for old connections to be forgotten.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    // IPv6 alone, as the IPv4 address has a socket of its own.
    if (at->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || ::listen(fd, kBacklog) != 0) {
      last_error = errno;
      if (last_error == EADDRNOTAVAIL || last_error == EAFNOSUPPORT) continue;
      return errno_error(last_error, fmt::format("listening on {}", address.text()));
    }
    made.name_ = name_of_tcp(fd);
    made.reach_ = reach_of(fd);
    sockets.push_back(std::move(made));
  }
  if (sockets.empty()) {
    return errno_error(last_error, fmt::format("listening on {}", address.text()));
  }
  return sockets;
}

Result<ListeningSocket> ListeningSocket::open_unix(const std::string& path,
                                                   const SocketAccess& access) {
  auto address = unix_address(path);
  if (!address) return std::move(address).error();
  if (auto free = remove_stale(path, *address); !free) return std::move(free).error();
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno_error(errno, "making a socket");
  ListeningSocket made(fd);
  // The mode that the path gets: more than its owner is let in when those are the right ones.
  const mode_t first = access.is_given() ? access.mode & S_IRWXU : access.mode;
  if (fchmod(fd, first) != 0) return errno_error(errno, "setting the mode of a socket");
  // bind() makes the path with the mode of the socket, less the umask: with `first`, from the first
  // moment.
  const mode_t mask = umask(0777 & ~first);
  const int bound = bind(fd, generic(*address), sizeof *address);
  const int error = errno;
  umask(mask);
  if (bound != 0) return errno_error(error, fmt::format("making the socket {}", path));
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("looking at {}", path));
  }
  made.path_ = SocketPath(path);
  made.name_ = fmt::format("unix:{}", path);
  if (auto given = give_away(path, access, status); !given) {
    return std::move(given).error();
  }
  // Last: nobody gets in before owner and mode are right.
  if (::listen(fd, kBacklog) != 0) return errno_error(errno, fmt::format("listening on {}", path));
  return made;
}

// What cannot be found out counts as reachable from elsewhere: a warning too many does no harm.
ListeningSocket::Reach ListeningSocket::reach_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return Reach::network;
  if (address.ss_family == AF_UNIX) return Reach::unix_path;
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    const bool is_local = (ntohl(v4.sin_addr.s_addr) >> 24U) == IN_LOOPBACKNET;
    return is_local ? Reach::loopback : Reach::network;
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ? Reach::loopback : Reach::network;
  }
  return Reach::network;
}

Result<ListeningSocket> ListeningSocket::adopt(int fd) {
  int domain = 0;
  int type = 0;
  int listening = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0) {
    return errno_error(errno, fmt::format("using file descriptor {} as a socket", fd));
  }
  if (type != SOCK_STREAM || listening == 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("file descriptor {} is not a listening stream socket", fd));
  }
  ListeningSocket made(fd);
  made.name_ = domain == AF_UNIX ? fmt::format("unix socket {} of the service manager", fd)
                                 : name_of_tcp(fd);
  made.reach_ = reach_of(fd);
  return made;
}

ListeningSocket::~ListeningSocket() {
  if (fd_ < 0) return;
  path_ = SocketPath();  // first, so that nobody finds a path where nobody listens
  close(fd_);
}

Result<ListeningSocket> ListeningSocket::take_over(int fd) {
  auto adopted = adopt(fd);
  SocketPath path = SocketPath::of(fd);
  if (adopted && !path.text().empty()) adopted->name_ = "unix:" + path.text();
  path.leave();
  return adopted;
}

SocketPath::SocketPath(std::string path) : path_(std::move(path)) {
  struct stat status {};
  if (lstat(path_.c_str(), &status) != 0) {
    path_.clear();
    return;
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

SocketPath SocketPath::of(int fd) {
  sockaddr_un address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      address.sun_family != AF_UNIX || length <= offsetof(sockaddr_un, sun_path) ||
      address.sun_path[0] == '\0') {
    return {};
  }
  return SocketPath(
      std::string(&address.sun_path[0], strnlen(&address.sun_path[0], sizeof address.sun_path)));
}

SocketPath::~SocketPath() {
  if (path_.empty()) return;
  // Another server may have taken the path since: its socket stays.
  struct stat status {};
  if (lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

}  // namespace uvdo
