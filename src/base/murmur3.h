// SPDX-License-Identifier: GPL-2.0-or-later
// MurmurHash3 x64 128 (Austin Appleby's public domain hash), which names data blocks. Four or more
// blocks at once are faster than one after the other on processors that have AVX-512.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace uvdo {

/// A 128-bit hash in the order of its bytes: h1 then h2, each little-endian.
struct Hash128 {
  std::array<std::byte, 16> bytes{};
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
};

/// The hash of any bytes; `seed` starts both halves.
[[nodiscard]] Hash128 murmur3_x64_128(ConstBytes bytes, std::uint32_t seed);

/// Hashes blocks of 4096 bytes each, at any alignment, into out[0 .. blocks.size()).
void murmur3_x64_128_blocks(std::span<const std::byte* const> blocks, std::uint32_t seed,
                            Hash128* out);

}  // namespace uvdo
