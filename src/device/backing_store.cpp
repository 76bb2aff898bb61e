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

Task<Result<void>> BackingStore::will_leave_unused(std::optional<std::uint64_t> /*unused*/) {
  co_return Result<void>();
}

Result<void> BackingStore::leave_note(const std::string& /*text*/) { return {}; }

void BackingStore::send_while(std::function<bool()> /*may_send*/) {}

Result<void> BackingStore::take_room(std::uint64_t /*size*/) {
  return Error(Errc::unsupported, fmt::format("{} is no regular file", name()));
}

}  // namespace uvdo
