// SPDX-License-Identifier: GPL-2.0-or-later
// The fullness hint of slab summary entries.
#include "format/slab_summary.h"

#include <algorithm>

namespace uvdo {
namespace {
constexpr unsigned kHintBits = 6;
constexpr unsigned shift_of(unsigned slab_bits) {
  return slab_bits > kHintBits ? slab_bits - kHintBits : 0;
}
}  // namespace

std::uint8_t fullness_hint(std::uint64_t free_blocks, unsigned slab_bits) {
  if (free_blocks == 0) return 0;
  constexpr std::uint64_t kMost = (1U << kHintBits) - 1;
  return static_cast<std::uint8_t>(
      std::clamp<std::uint64_t>(free_blocks >> shift_of(slab_bits), 1, kMost));
}

std::uint64_t free_blocks_of_hint(std::uint8_t hint, unsigned slab_bits) {
  // A hint of 1 may stand for a single block.
  if (hint <= 1) return hint;
  return std::uint64_t{hint} << shift_of(slab_bits);
}

}  // namespace uvdo
