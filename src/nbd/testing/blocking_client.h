// SPDX-License-Identifier: GPL-2.0-or-later
// A client of a unix socket for tests, in a thread of its own: it sends given bytes and counts what
// it receives. It takes no memory from the heap once it is connected.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include <poll.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "net/testing/unix_socket.h"

namespace uvdo::testing {

class BlockingClient {
 public:
  explicit BlockingClient(const std::string& path) : fd_(connect_to(path)), is_well_(fd_) {}
  /// Sends `bytes` while it receives `size` bytes.
  void exchange(ConstBytes bytes, std::size_t size) {
    std::array<std::byte, 65536> into;
    while (is_well_ && (!bytes.empty() || size > 0)) {
      pollfd ready{fd_.get(), static_cast<short>(POLLIN | (bytes.empty() ? 0 : POLLOUT)), 0};
      is_well_ = poll(&ready, 1, 10000) == 1;
      if ((ready.revents & POLLOUT) != 0) {
        const ssize_t sent =
            send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) bytes = bytes.subspan(static_cast<std::size_t>(sent));
      }
      if ((ready.revents & ~POLLOUT) != 0) {
        const ssize_t got = recv(fd_.get(), into.data(), std::min(size, into.size()), MSG_DONTWAIT);
        is_well_ = got > 0;
        if (is_well_) size -= static_cast<std::size_t>(got);
      }
    }
  }
  [[nodiscard]] bool is_well() const { return is_well_; }

 private:
  FileDescriptor fd_;
  bool is_well_;
};

}  // namespace uvdo::testing
