// SPDX-License-Identifier: GPL-2.0-or-later
// A client of a unix socket for tests, in a thread of its own: it sends given bytes and counts what
// it receives. It takes no memory from the heap once it is connected.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"

namespace uvdo::testing {

class BlockingClient {
 public:
  explicit BlockingClient(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(std::begin(address.sun_path), sizeof address.sun_path - 1);
    is_well_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;
  ~BlockingClient() { close(fd_); }
  /// Sends `bytes` while it receives `size` bytes.
  void exchange(ConstBytes bytes, std::size_t size) {
    std::array<std::byte, 65536> into;
    while (is_well_ && (!bytes.empty() || size > 0)) {
      pollfd ready{fd_, static_cast<short>(POLLIN | (bytes.empty() ? 0 : POLLOUT)), 0};
      is_well_ = poll(&ready, 1, 10000) == 1;
      if ((ready.revents & POLLOUT) != 0) {
        const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) bytes = bytes.subspan(static_cast<std::size_t>(sent));
      }
      if ((ready.revents & ~POLLOUT) != 0) {
        const ssize_t got = recv(fd_, into.data(), std::min(size, into.size()), MSG_DONTWAIT);
        is_well_ = got > 0;
        if (is_well_) size -= static_cast<std::size_t>(got);
      }
    }
  }
  [[nodiscard]] bool is_well() const { return is_well_; }

 private:
  int fd_;
  bool is_well_ = false;
};

}  // namespace uvdo::testing
