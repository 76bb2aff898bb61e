// SPDX-License-Identifier: GPL-2.0-or-later
// Whose answers a client of the control socket believes: those of its own user and of root, from a
// socket that nobody else could have put there.
#pragma once

#include <string>

#include <sys/types.h>

#include "base/result.h"

namespace uvdo {

/// An error unless the folder of the socket at `path`, and that of what it links to, belong to
/// root or to `self` and not everybody may replace what is in them.
Result<void> trust_socket_folder(const std::string& path, uid_t self);

/// An error unless the peer of the connected unix socket `fd` is a process of root or of `self`.
Result<void> trust_peer(int fd, const std::string& path, uid_t self);

}  // namespace uvdo
