// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/entrance.h"

#include <fmt/core.h>

namespace uvdo {

Result<void> Entrance::check_range(std::uint64_t offset, std::uint64_t length) const {
  // Written so that no sum overflows.
  if (offset <= size() && length <= size() - offset) return {};
  return Error(Errc::out_of_range,
               fmt::format("{} bytes at byte {} reach beyond the volume's end ({})", length, offset,
                           size()));
}

Result<void> Entrance::check_writable() {
  if (life_.is_stopping()) return refused();
  if (!notifier_.is_read_only()) return {};
  ++errors_.read_only_error_count;
  return notifier_.error();
}

}  // namespace uvdo
