// SPDX-License-Identifier: GPL-2.0-or-later
// Where a server listens: unix:PATH or tcp:HOST:PORT, and the sockets made of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "base/result.h"

namespace uvdo {

/// Text alone: names are resolved by ListeningSocket::open().
struct SocketAddress {
  static constexpr std::uint16_t kNbdPort = 10809;
  enum class Kind : std::uint8_t { unix_path, tcp };
  Kind kind = Kind::unix_path;
  std::string path;  ///< of a unix socket
  std::string host;  ///< of TCP; empty means every address of the machine
  std::uint16_t port = kNbdPort;

  /// Understands unix:PATH, tcp:HOST:PORT, tcp:HOST (the NBD port) and tcp:[IPV6]:PORT. The host
  /// "*", or none before a port, is every address of the machine.
  static Result<SocketAddress> parse(std::string_view text);
  /// What parse() understands as the same address.
  [[nodiscard]] std::string text() const;
};

/// Who is at the other end of a connected socket, in words: "tcp:10.0.0.3:52114", or
/// "process 4711" of a unix socket, "unix" if that is not known.
[[nodiscard]] std::string peer_text(int fd);

/// Who may connect to a unix socket, besides root.
struct SocketAccess {
  mode_t mode = 0600;
  std::optional<uid_t> owner{};  ///< of this process if there is none
  std::optional<gid_t> group{};  ///< the same

  /// Whether it is for somebody else than it would be without a word.
  [[nodiscard]] bool is_given() const { return owner || group; }

  /// An octal mode of permissions and the name or number of a group, or "" for none.
  static Result<SocketAccess> parse(std::string_view mode, const std::string& group);
};

/// The path of a unix socket that this process has made: removed at the end, if it is still that.
class SocketPath {
 public:
  SocketPath() = default;
  /// The one that a listening socket is bound to; none if it is no unix socket with a path.
  static SocketPath of(int fd);
  SocketPath(SocketPath&& other) noexcept { swap(other); }
  SocketPath& operator=(SocketPath&& other) noexcept {
    swap(other);
    return *this;
  }
  ~SocketPath();
  /// It stays.
  void leave() { path_.clear(); }
  [[nodiscard]] const std::string& text() const { return path_; }

 private:
  explicit SocketPath(std::string path);
  void swap(SocketPath& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
  }
  friend class ListeningSocket;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// A socket in the state of listening. Closing it removes the path of a unix socket, if that is
/// still the one that was made.
class ListeningSocket {
 public:
  /// A name resolves to several addresses: one socket for each. A unix socket never lets anybody in
  /// whom `access` does not, not even for a moment; Errc::busy if another process answers on that
  /// path, while a stale socket is replaced.
  static Result<std::vector<ListeningSocket>> open(const SocketAddress& address,
                                                   const SocketAccess& access = {});
  /// Takes over a listening stream socket, such as one of a service manager.
  static Result<ListeningSocket> adopt(int fd);
  /// The same of one that a program before this one has opened in this process; it keeps its name,
  /// and whoever has its path from take_path() removes that.
  static Result<ListeningSocket> take_over(int fd);
  /// Whether it is at a path that this program has made.
  [[nodiscard]] bool has_path() const { return name_.starts_with("unix:"); }
  /// From now on the path is not removed with this.
  [[nodiscard]] SocketPath take_path() { return std::move(path_); }

  ListeningSocket(ListeningSocket&& other) noexcept { swap(other); }
  ListeningSocket& operator=(ListeningSocket&& other) noexcept {
    swap(other);
    return *this;
  }
  ~ListeningSocket();

  [[nodiscard]] int fd() const { return fd_; }
  /// "unix:/run/x" or "tcp:127.0.0.1:10809", with the port that was really taken.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Whether it is a unix socket.
  [[nodiscard]] bool is_unix() const { return reach_ == Reach::unix_path; }
  /// Whether other machines may be able to connect.
  [[nodiscard]] bool is_remote() const { return reach_ == Reach::network; }

 private:
  explicit ListeningSocket(int fd) : fd_(fd) {}
  /// A stale socket is removed, then: mode, bind, owner, listen; each step lets in nobody whom the
  /// last one will not.
  static Result<ListeningSocket> open_unix(const std::string& path, const SocketAccess& access);
  enum class Reach : std::uint8_t { unix_path, loopback, network };
  /// By the address that a socket is bound to.
  [[nodiscard]] static Reach reach_of(int fd);
  void swap(ListeningSocket& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(name_, other.name_);
    std::swap(path_, other.path_);
    std::swap(reach_, other.reach_);
  }

  int fd_ = -1;
  std::string name_;
  SocketPath path_;
  Reach reach_ = Reach::unix_path;
};

}  // namespace uvdo
