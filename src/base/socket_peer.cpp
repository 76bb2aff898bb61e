// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/socket_peer.h"

namespace uvdo {

std::optional<ucred> socket_peer(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return std::nullopt;
  return peer;
}

}  // namespace uvdo
