// SPDX-License-Identifier: GPL-2.0-or-later
// A block map entry: where a logical block, or a page of the block map, is (volume.md, 6.1).
// Five bytes: 4 bits of state, 36 bits of physical block number.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/block_types.h"
#include "base/bytes.h"

namespace uvdo {

inline constexpr std::size_t kBlockMappingSize = 5;

/// The values of BlockMapping::state; 2 .. 15 name fragment 0 .. 13 of a compressed block.
inline constexpr std::uint8_t kStateUnmapped = 0;
inline constexpr std::uint8_t kStateUncompressed = 1;
inline constexpr std::uint8_t kStateFirstFragment = 2;

struct BlockMapping {
  Pbn pbn;
  std::uint8_t state = kStateUnmapped;

  /// Counts as a used logical block (also when it is a block of zeros).
  [[nodiscard]] constexpr bool is_mapped() const { return state != kStateUnmapped; }
  [[nodiscard]] constexpr bool is_compressed() const { return state >= kStateFirstFragment; }
  /// The fragment of the compressed block. Needs is_compressed().
  [[nodiscard]] constexpr unsigned slot() const { return state - unsigned{kStateFirstFragment}; }
  /// Reads as zeros: unmapped, or a block of zeros.
  [[nodiscard]] constexpr bool is_zero() const { return pbn == kZeroPbn; }
  /// Whether state and PBN fit each other. That the PBN is a data block is for the depot to say.
  [[nodiscard]] constexpr bool valid() const {
    if (state > 15 || pbn.value() >> 36U != 0) return false;
    return pbn == kZeroPbn ? state <= kStateUncompressed : state != kStateUnmapped;
  }
  friend constexpr bool operator==(const BlockMapping&, const BlockMapping&) = default;
};

inline constexpr BlockMapping kUnmapped{kZeroPbn, kStateUnmapped};
inline constexpr BlockMapping kMappedZero{kZeroPbn, kStateUncompressed};

/// A mapping to a whole block.
constexpr BlockMapping mapped_to(Pbn pbn) { return {pbn, kStateUncompressed}; }
/// A mapping to fragment `slot` (0 .. 13) of the compressed block at `pbn`.
constexpr BlockMapping mapped_to_fragment(Pbn pbn, unsigned slot) {
  return {pbn, static_cast<std::uint8_t>(kStateFirstFragment + slot)};
}

/// Decodes the five bytes at `p`; any bytes give a mapping, not always a valid() one.
constexpr BlockMapping decode_block_mapping(const std::byte* p) {
  const std::uint64_t first = load_u8(p);
  return {Pbn{(first >> 4U) << 32U | load_le32(p + 1)}, static_cast<std::uint8_t>(first & 15U)};
}

/// The five bytes as a little-endian number. Needs a state below 16 and a PBN below 2^36.
constexpr std::uint64_t packed(BlockMapping mapping) {
  const std::uint64_t pbn = mapping.pbn.value();
  return (pbn & 0xFFFFFFFFU) << 8U | (pbn >> 32U & 15U) << 4U | (mapping.state & 15U);
}
/// Writes the five bytes at `p`. Needs what packed() does.
constexpr void encode_block_mapping(BlockMapping mapping, std::byte* p) {
  const std::uint64_t pbn = mapping.pbn.value();
  store_u8(p, static_cast<std::uint8_t>((pbn >> 32U) << 4U | (mapping.state & 15U)));
  store_le32(p + 1, static_cast<std::uint32_t>(pbn));
}

}  // namespace uvdo
