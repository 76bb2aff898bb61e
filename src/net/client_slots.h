// SPDX-License-Identifier: GPL-2.0-or-later
// Who gets one of the places that a server has for clients. No machine may take all of them, and
// over the network not even all machines together: who comes by a unix socket still gets in.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>

namespace uvdo {

/// Where a client comes from: the unix sockets, or a machine: an IPv4 address, or the first 64 bits
/// of an IPv6 address, since whoever has one of these has them all.
struct ClientOrigin {
  enum class Kind : std::uint8_t { unix_socket, ipv4, ipv6 };
  Kind kind = Kind::unix_socket;
  std::array<std::uint8_t, 8> address{};

  /// Of the peer of a connected socket.
  static ClientOrigin of_peer(int fd);
  auto operator<=>(const ClientOrigin&) const = default;
};

/// Counts alone; connections are the server's. ask(), then enter() and, when the client has gone,
/// leave() with the same origin.
class ClientSlots {
 public:
  enum class Answer : std::uint8_t {
    free,          ///< there is a place
    full,          ///< all places are taken
    network_full,  ///< what is left is for unix sockets
    machine_full,  ///< this machine has its share
  };

  /// Of `most` places some are kept for unix sockets if there are any.
  ClientSlots(std::size_t most, bool has_unix_sockets);

  /// What a client of `origin` would be told now; takes nothing.
  [[nodiscard]] Answer ask(const ClientOrigin& origin) const { return judge(origin, nullptr); }
  /// Takes a place, whatever ask() says; and gives it back. leave() without enter() does nothing.
  void enter(const ClientOrigin& origin);
  void leave(const ClientOrigin& origin);
  /// Whether another client of `origin` might get in if the one from `other` left.
  [[nodiscard]] bool would_help(const ClientOrigin& other, const ClientOrigin& origin) const {
    return judge(origin, &other) == Answer::free;
  }

  [[nodiscard]] std::size_t most() const { return most_; }
  /// Of all machines together, and of one.
  [[nodiscard]] std::size_t most_of_network() const { return most_of_network_; }
  [[nodiscard]] std::size_t most_of_machine() const { return most_of_machine_; }

 private:
  /// What a client of `origin` is told if one of `gone` is not counted.
  [[nodiscard]] Answer judge(const ClientOrigin& origin, const ClientOrigin* gone) const;

  std::size_t most_;
  std::size_t most_of_network_;
  std::size_t most_of_machine_;
  std::size_t all_ = 0;
  std::size_t network_ = 0;
  std::map<ClientOrigin, std::size_t> by_origin_;
};

}  // namespace uvdo
