// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace uvdo {

std::string_view name_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::out_of_range: return "out_of_range";
    case Errc::no_space: return "no_space";
    case Errc::read_only: return "read_only";
    case Errc::io: return "io";
    case Errc::corrupt: return "corrupt";
    case Errc::unsupported: return "unsupported";
    case Errc::not_found: return "not_found";
    case Errc::exists: return "exists";
    case Errc::busy: return "busy";
    case Errc::cancelled: return "cancelled";
    case Errc::protocol: return "protocol";
    case Errc::no_memory: return "no_memory";
  }
  return "unknown";
}

Errc errc_of(std::string_view name) {
  // The codes have no gaps, and no_memory is the last.
  for (int code = 0; code <= static_cast<int>(Errc::no_memory); ++code) {
    if (name_of(static_cast<Errc>(code)) == name) return static_cast<Errc>(code);
  }
  return Errc::io;
}

int errno_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
    case Errc::protocol: return EINVAL;
    case Errc::out_of_range: return EINVAL;
    case Errc::no_space: return ENOSPC;
    case Errc::read_only: return EROFS;
    case Errc::unsupported: return EOPNOTSUPP;
    case Errc::not_found: return ENOENT;
    case Errc::exists: return EEXIST;
    case Errc::busy: return EBUSY;
    // NBD has a code of its own for a server that stops.
    case Errc::cancelled: return ESHUTDOWN;
    case Errc::no_memory: return ENOMEM;
    case Errc::io:
    case Errc::corrupt: return EIO;
  }
  return EIO;
}

Error Error::within(std::string_view where) const {
  return {code(), std::string(where) + ": " + message()};
}

Error errno_error(int errno_value, std::string_view what) {
  Errc code = Errc::io;
  switch (errno_value) {
    case ENOENT: code = Errc::not_found; break;
    case EEXIST: code = Errc::exists; break;
    case EINVAL: code = Errc::invalid_argument; break;
    case EBUSY:
    // Somebody else has the lock.
    case EWOULDBLOCK: code = Errc::busy; break;
    case ENOSPC:
    case EDQUOT:
    // A file that may not grow is full: that passes when somebody raises a limit.
    case EFBIG: code = Errc::no_space; break;
    case EROFS: code = Errc::read_only; break;
    case EOPNOTSUPP: code = Errc::unsupported; break;
    case ENOMEM: code = Errc::no_memory; break;
    default: break;
  }
  return {code, std::string(what) + ": " + std::generic_category().message(errno_value)};
}

}  // namespace uvdo
