// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/device.h"

#include <fmt/core.h>

namespace uvdo {

Result<void> Device::extend(std::uint64_t size) {
  auto now = look_up_size();
  if (!now) return std::move(now).error();
  if (*now >= size) return {};
  return Error(
      Errc::no_space,
      fmt::format("{} has {} bytes and {} are needed; make it larger first", name(), *now, size));
}

Error Device::Awaiter::failure() const {
  if (request_.op == Op::flush) {
    return errno_error(request_.error, fmt::format("flush of {}", device_.name()));
  }
  return errno_error(
      request_.error,
      fmt::format("{} of {} bytes at byte {} of {}", request_.op == Op::read ? "read" : "write",
                  total_size(request_.slices), request_.offset, device_.name()));
}

}  // namespace uvdo
