// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/device.h"

#include <fmt/format.h>

namespace uvdo {

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
