// SPDX-License-Identifier: GPL-2.0-or-later
// What a client of a block device is told of an error, whatever front end it uses: docs/beneath.md
// has the table. A client knows nothing of what lies beneath, so that faults of ours are EIO.
#pragma once

#include <cerrno>

#include "base/result.h"

namespace uvdo {

/// An errno value. Errc::read_only is a fault here; front ends refuse what may not be written on
/// purpose before they ask the volume.
[[nodiscard]] constexpr int client_errno(Errc code) {
  switch (code) {
    case Errc::no_space: return ENOSPC;
    case Errc::invalid_argument:
    case Errc::out_of_range:
    case Errc::protocol: return EINVAL;
    case Errc::no_memory: return ENOMEM;
    case Errc::unsupported: return EOPNOTSUPP;
    case Errc::cancelled: return ESHUTDOWN;
    case Errc::io:
    case Errc::read_only:
    case Errc::corrupt:
    case Errc::not_found:
    case Errc::exists:
    case Errc::busy: return EIO;
  }
  return EIO;
}

}  // namespace uvdo
