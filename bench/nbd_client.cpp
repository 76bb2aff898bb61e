// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd_client.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "nbd/nbd_protocol.h"

namespace uvdo::bench {

void fail(const std::string& why) {
  fmt::print(stderr, "{}\n", why);
  std::exit(1);
}

void send_all(int fd, const std::byte* data, std::size_t size) {
  while (size > 0) {
    const ssize_t count = send(fd, data, size, MSG_NOSIGNAL);
    if (count <= 0) fail("the server hung up");
    data += count;
    size -= static_cast<std::size_t>(count);
  }
}

void receive_all(int fd, std::byte* data, std::size_t size) {
  while (size > 0) {
    const ssize_t count = recv(fd, data, size, 0);
    if (count <= 0) fail("the server hung up");
    data += count;
    size -= static_cast<std::size_t>(count);
  }
}

int connect_to(const Address& to) {
  if (to.port != 0) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
    const int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (to.socket_path.size() >= sizeof address.sun_path) fail("the path is too long");
  std::memcpy(address.sun_path, to.socket_path.data(), to.socket_path.size());
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  return fd;
}

std::uint64_t negotiate(int fd, const std::string& export_name, Replies replies) {
  std::array<std::byte, 256> buffer{};
  receive_all(fd, buffer.data(), nbd::kGreetingSize);
  store_be32(buffer.data(), nbd::kFlagFixedNewstyle | nbd::kFlagNoZeroes);
  send_all(fd, buffer.data(), nbd::kClientFlagsSize);
  const auto option = [&](nbd::Option number, std::size_t length) {
    store_be64(buffer.data(), nbd::kOptionMagic);
    store_be32(buffer.data() + 8, static_cast<std::uint32_t>(number));
    store_be32(buffer.data() + 12, static_cast<std::uint32_t>(length));
    send_all(fd, buffer.data(), nbd::kOptionHeaderSize);
  };
  const auto take_replies = [&] {
    for (bool is_last = false; !is_last;) {
      receive_all(fd, buffer.data(), nbd::kOptionReplyHeaderSize);
      const auto type = static_cast<nbd::OptionReply>(load_be32(buffer.data() + 12));
      if (type != nbd::OptionReply::ack && type != nbd::OptionReply::meta_context) {
        fail("the server refuses an option");
      }
      is_last = type == nbd::OptionReply::ack;
      receive_all(fd, buffer.data(), load_be32(buffer.data() + 16));
    }
  };
  if (replies != Replies::simple) {
    option(nbd::Option::structured_reply, 0);
    take_replies();
  }
  if (replies == Replies::with_extents) {
    const auto query = std::as_bytes(std::span(nbd::kAllocationContext));
    option(nbd::Option::set_meta_context, 12 + export_name.size() + query.size());
    store_be32(buffer.data(), static_cast<std::uint32_t>(export_name.size()));
    send_all(fd, buffer.data(), 4);
    send_all(fd, std::as_bytes(std::span(export_name)).data(), export_name.size());
    store_be32(buffer.data(), 1);
    store_be32(buffer.data() + 4, static_cast<std::uint32_t>(query.size()));
    send_all(fd, buffer.data(), 8);
    send_all(fd, query.data(), query.size());
    take_replies();
  }
  option(nbd::Option::export_name, export_name.size());
  const auto name = std::as_bytes(std::span(export_name));
  send_all(fd, name.data(), name.size());
  receive_all(fd, buffer.data(), 10);
  return load_be64(buffer.data());
}

}  // namespace uvdo::bench
