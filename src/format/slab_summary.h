// SPDX-License-Identifier: GPL-2.0-or-later
// The slab summary: two bytes a slab that say where its journal ends and whether its counts are
// to be read and replayed (volume.md, 5.3). 16 areas, one for each possible physical zone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/block_types.h"
#include "base/bytes.h"

namespace uvdo {

inline constexpr std::size_t kSummaryEntrySize = 2;
inline constexpr unsigned kSummaryEntriesPerBlock = 2048;
inline constexpr unsigned kSummaryBlocksPerZone = 4;
inline constexpr unsigned kSummaryZones = 16;
static_assert(kSummaryEntriesPerBlock * kSummaryEntrySize == kBlockSize);

struct SlabSummaryEntry {
  std::uint8_t tail_offset = 0;        ///< ring index after the last committed journal block
  std::uint8_t fullness_hint = 0;      ///< 6 bits, see fullness_hint()
  bool load_reference_counts = false;  ///< they have been written at least once
  bool dirty = false;                  ///< the journal holds what the counts do not

  /// Never used: all counts are 0, neither counts nor journal may be read.
  [[nodiscard]] constexpr bool is_unused() const {
    return tail_offset == 0 && !load_reference_counts && !dirty;
  }
  friend constexpr bool operator==(const SlabSummaryEntry&, const SlabSummaryEntry&) = default;
};

[[nodiscard]] constexpr std::uint16_t encode_slab_summary_entry(const SlabSummaryEntry& entry) {
  return static_cast<std::uint16_t>(entry.tail_offset | (entry.fullness_hint & 63U) << 8U |
                                    (entry.load_reference_counts ? 1U : 0U) << 14U |
                                    (entry.dirty ? 1U : 0U) << 15U);
}
[[nodiscard]] constexpr SlabSummaryEntry decode_slab_summary_entry(std::uint16_t value) {
  return {static_cast<std::uint8_t>(value), static_cast<std::uint8_t>((value >> 8U) & 63U),
          (value >> 14U & 1U) != 0, (value >> 15U & 1U) != 0};
}

/// The hint of a slab of 2^slab_bits blocks with `free_blocks`: the top 6 bits of the number,
/// but never 0 while a block is free.
[[nodiscard]] std::uint8_t fullness_hint(std::uint64_t free_blocks, unsigned slab_bits);
/// A lower bound of the free blocks that a hint stands for.
[[nodiscard]] std::uint64_t free_blocks_of_hint(std::uint8_t hint, unsigned slab_bits);

/// The zone whose area holds the valid entry of a slab, for the super block's zone count.
[[nodiscard]] constexpr unsigned summary_zone(SlabNumber slab, std::uint8_t zone_count) {
  return zone_count <= 1 ? 0 : slab % zone_count;
}
/// Block of the summary partition (0 .. 63) that holds the entry of a slab (below 8192) in the
/// area of `zone` (below 16), and the entry's byte in that block.
[[nodiscard]] constexpr unsigned summary_block(unsigned zone, SlabNumber slab) {
  return zone * kSummaryBlocksPerZone + slab / kSummaryEntriesPerBlock;
}
[[nodiscard]] constexpr std::size_t summary_byte(SlabNumber slab) {
  return slab % kSummaryEntriesPerBlock * kSummaryEntrySize;
}

/// The entry of a slab in the right summary block (4096 bytes).
[[nodiscard]] inline SlabSummaryEntry summary_entry(ConstBytes block, SlabNumber slab) {
  check(block.size() == kBlockSize, "a slab summary block is 4096 bytes");
  return decode_slab_summary_entry(load_le16(block.data() + summary_byte(slab)));
}
inline void set_summary_entry(MutableBytes block, SlabNumber slab, const SlabSummaryEntry& entry) {
  check(block.size() == kBlockSize, "a slab summary block is 4096 bytes");
  store_le16(block.data() + summary_byte(slab), encode_slab_summary_entry(entry));
}

}  // namespace uvdo
