// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_store.h"

#include <fmt/core.h>

namespace uvdo {

Error BackingStore::too_small(std::uint64_t size, std::uint64_t needed) const {
  return {Errc::no_space, fmt::format("{} has {} bytes and {} are needed; make it larger first",
                                      name(), size, needed)};
}

Result<void> BackingStore::make_anew(std::uint64_t /*size*/) {
  return Error(Errc::unsupported, fmt::format("{} is no regular file", name()));
}

Result<void> BackingStore::take_room(std::uint64_t /*size*/) {
  return Error(Errc::unsupported, fmt::format("{} is no regular file", name()));
}

}  // namespace uvdo
