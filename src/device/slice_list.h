// SPDX-License-Identifier: GPL-2.0-or-later
// What is left of a request's slices when a part of it has been transferred.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/uio.h>

namespace uvdo {

/// Keeps the list that the kernel is given; it is valid until the next call.
class SliceList {
 public:
  /// `slices` without their first `bytes` bytes.
  std::span<const iovec> behind(std::span<const iovec> slices, std::uint64_t bytes) {
    rest_.clear();
    for (iovec slice : slices) {
      const std::uint64_t skipped = std::min<std::uint64_t>(bytes, slice.iov_len);
      bytes -= skipped;
      if (skipped == slice.iov_len) continue;
      slice.iov_base = static_cast<char*>(slice.iov_base) + skipped;
      slice.iov_len -= skipped;
      rest_.push_back(slice);
    }
    return rest_;
  }

 private:
  std::vector<iovec> rest_;
};

}  // namespace uvdo
