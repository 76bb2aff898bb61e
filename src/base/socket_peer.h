// SPDX-License-Identifier: GPL-2.0-or-later
// The process at the other end of a unix socket.
#pragma once

#include <optional>

#include <sys/socket.h>

namespace uvdo {

/// By the kernel's word: of who connected, or, at that end, who called listen(). Nothing, and
/// errno, if it does not tell.
[[nodiscard]] std::optional<ucred> socket_peer(int fd);

}  // namespace uvdo
