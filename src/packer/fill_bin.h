// SPDX-License-Identifier: GPL-2.0-or-later
// The rule by which fragments come to share a physical block (behaviour.md, 6), for the packer and
// for who foretells what it will make.
#pragma once

#include <algorithm>
#include <cstddef>

#include "format/compressed_block.h"

namespace uvdo {

/// Fills a bin that has a fragment of `first` bytes: again and again the largest that still fits.
/// `take_largest(room)` takes the largest of those that wait and have at most `room` bytes, and
/// returns its size; 0 if there is none. Returns how many fragments the bin has.
template <typename TakeLargest>
std::size_t fill_bin(std::size_t first, TakeLargest take_largest) {
  std::size_t room = kFragmentSpace - first;
  std::size_t count = 1;
  while (count < kMaxFragments) {
    const std::size_t size = take_largest(std::min(room, kMaxFragmentSize));
    if (size == 0) break;
    room -= size;
    ++count;
  }
  return count;
}

}  // namespace uvdo
