// SPDX-License-Identifier: GPL-2.0-or-later
// A block of reference counts: eight sectors, each with the point of the slab journal up to which
// it is right, and one byte a data block (volume.md, 5.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/block_types.h"
#include "base/bytes.h"
#include "format/journal_point.h"

namespace uvdo {

inline constexpr unsigned kCountsPerSector = 504;
inline constexpr unsigned kSectorsPerBlock = 8;
inline constexpr unsigned kCountsPerBlock = 4032;
static_assert(kCountsPerSector + 8 == kSectorSize);
static_assert(kCountsPerSector * kSectorsPerBlock == kCountsPerBlock);

using ReferenceCount = std::uint8_t;
inline constexpr ReferenceCount kFree = 0;
inline constexpr ReferenceCount kMaxReferences = 254;
inline constexpr ReferenceCount kProvisional = 255;  ///< allocated, no reference yet

/// Blocks that hold the counts of `data_blocks`.
[[nodiscard]] constexpr std::uint64_t reference_blocks_used(std::uint64_t data_blocks) {
  return (data_blocks + kCountsPerBlock - 1) / kCountsPerBlock;
}

/// Fills the 4096 bytes of `block` with up to 4032 counts (the rest free), all sectors with the
/// same commit point. Provisional counts are written as they are; a reader takes them for free.
void pack_reference_block(MutableBytes block, std::span<const ReferenceCount> counts,
                          JournalPoint commit_point);

/// The commit point of each sector; they differ after a torn write.
using CommitPoints = std::array<JournalPoint, kSectorsPerBlock>;

/// Reads up to 4032 counts; provisional ones become free.
CommitPoints unpack_reference_block(ConstBytes block, std::span<ReferenceCount> counts);

}  // namespace uvdo
