// SPDX-License-Identifier: GPL-2.0-or-later
// How front ends cut the requests of clients. What has data is cut at multiples of 128 KiB of the
// device; each piece has a buffer and runs by itself. What has none is cut too, so that it can end
// early.
#pragma once

#include <cstdint>

#include "async/buffer_pool.h"

namespace uvdo {

/// The length of the piece that begins at `offset` of a range with `left` bytes to go.
[[nodiscard]] constexpr std::uint32_t piece_length(std::uint64_t offset, std::uint32_t left) {
  const std::uint64_t room = BufferPool::kLargest - offset % BufferPool::kLargest;
  return left < room ? left : static_cast<std::uint32_t>(room);
}

/// How many pieces a range has (none if it is empty).
[[nodiscard]] constexpr std::uint32_t piece_count(std::uint64_t offset, std::uint32_t length) {
  if (length == 0) return 0;
  const std::uint64_t first = offset / BufferPool::kLargest;
  const std::uint64_t last = (offset + length - 1) / BufferPool::kLargest;
  return static_cast<std::uint32_t>(last - first + 1);
}

/// A change or a question of more than this is long: few of a client run at a time.
inline constexpr std::uint32_t kLongRange = 16U << 20U;
/// Long requests of a client that run at a time: a few, so that one that waits for the device does
/// not hold up the rest.
inline constexpr std::uint64_t kLongRequests = 8;
/// What is done of such a request before it is seen whether somebody still wants it, at multiples
/// of this.
inline constexpr std::uint32_t kRangePiece = 64U << 20U;

}  // namespace uvdo
