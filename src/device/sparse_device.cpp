// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/sparse_device.h"

#include <cerrno>

namespace uvdo {

void SparseDevice::submit(Request& request) {
  request.done = true;
  if (request.op == Op::flush || request.op == Op::discard) return;
  // Left to the caller, as by a device that cannot.
  if (request.op == Op::write_zeroes) {
    request.error = EOPNOTSUPP;
    return;
  }
  if (request.offset > size() || request.length > size() - request.offset) {
    request.error = EIO;
    return;
  }
  std::uint64_t at = request.offset;
  for (const iovec& slice : request.slices) {
    auto* bytes = static_cast<std::byte*>(slice.iov_base);
    if (request.op == Op::read) {
      image_.read(at, {bytes, slice.iov_len});
    } else {
      image_.write(at, {bytes, slice.iov_len});
    }
    at += slice.iov_len;
  }
}

}  // namespace uvdo
