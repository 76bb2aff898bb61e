// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/client_slots.h"

#include <algorithm>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>

namespace uvdo {
namespace {

constexpr std::size_t kUnixPart = 8;       // an eighth of the places is for unix sockets
constexpr std::size_t kOthersPart = 4;     // a quarter of the rest is not for one machine
constexpr std::size_t kMappedPrefix = 12;  // of an IPv4 address in an IPv6 address

/// What is left of `places` when a part, one at least, is for others; never nothing.
std::size_t all_but(std::size_t places, std::size_t part) {
  if (places < 2) return places;
  return places - std::max<std::size_t>(1, places / part);
}

}  // namespace

ClientOrigin ClientOrigin::of_peer(int fd) {
  ClientOrigin origin;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  // Of a peer that has gone already nothing is known: it counts as one of a unix socket until it
  // ends.
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return origin;
  if (address.ss_family == AF_INET) {
    origin.kind = Kind::ipv4;
    std::memcpy(origin.address.data(), &reinterpret_cast<sockaddr_in&>(address).sin_addr, 4);
  } else if (address.ss_family == AF_INET6) {
    const in6_addr& v6 = reinterpret_cast<sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      origin.kind = Kind::ipv4;
      std::memcpy(origin.address.data(), v6.s6_addr + kMappedPrefix, 4);
    } else {
      origin.kind = Kind::ipv6;
      std::memcpy(origin.address.data(), v6.s6_addr, origin.address.size());
    }
  }
  return origin;
}

ClientSlots::ClientSlots(std::size_t most, bool has_unix_sockets)
    : most_(most),
      most_of_network_(has_unix_sockets ? all_but(most, kUnixPart) : most),
      most_of_machine_(all_but(most_of_network_, kOthersPart)) {}

ClientSlots::Answer ClientSlots::judge(const ClientOrigin& origin, const ClientOrigin* gone) const {
  constexpr auto kUnixSocket = ClientOrigin::Kind::unix_socket;
  // What is not counted is taken off each of the three sums in which it is.
  const std::size_t less = gone != nullptr && by_origin_.contains(*gone) ? 1 : 0;
  if (all_ - less >= most_) return Answer::full;
  if (origin.kind == kUnixSocket) return Answer::free;
  const std::size_t less_of_network = less == 1 && gone->kind != kUnixSocket ? 1 : 0;
  if (network_ - less_of_network >= most_of_network_) return Answer::network_full;
  const auto found = by_origin_.find(origin);
  const std::size_t less_of_machine = less == 1 && *gone == origin ? 1 : 0;
  if (found != by_origin_.end() && found->second - less_of_machine >= most_of_machine_) {
    return Answer::machine_full;
  }
  return Answer::free;
}

void ClientSlots::enter(const ClientOrigin& origin) {
  ++all_;
  if (origin.kind != ClientOrigin::Kind::unix_socket) ++network_;
  ++by_origin_[origin];
}

void ClientSlots::leave(const ClientOrigin& origin) {
  const auto found = by_origin_.find(origin);
  if (found == by_origin_.end()) return;
  --all_;
  if (origin.kind != ClientOrigin::Kind::unix_socket) --network_;
  if (--found->second == 0) by_origin_.erase(found);
}

}  // namespace uvdo
