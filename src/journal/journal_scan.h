// SPDX-License-Identifier: GPL-2.0-or-later
// Reading the recovery journal of a volume that was not shut down: where it begins and ends, and
// how far its entries can be used (vdo-behaviour.md, 9.1 and 9.2).
#pragma once

#include <cstdint>

#include "async/task.h"
#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "device/device.h"
#include "format/journal_extent.h"
#include "format/recovery_journal_block.h"
#include "format/slab_layout.h"

namespace uvdo {

/// Where the ring is, and whose blocks count.
struct JournalRing {
  std::uint64_t device_offset = 0;  ///< bytes, of the partition
  std::uint64_t size = 0;           ///< blocks
  std::uint64_t nonce = 0;
  std::uint8_t recovery_count = 0;
};
[[nodiscard]] JournalRing journal_ring(const SuperBlock& super_block,
                                       const VolumeGeometry& geometry);

/// Gives the blocks of the ring by sequence number, reading many at once.
class JournalReader {
 public:
  JournalReader(Device& device, const JournalRing& ring);
  /// What lies at the place of block `sequence`; valid until the next call. The block need not be
  /// that one: see is_block().
  Task<Result<ConstBytes>> block(JournalSequence sequence);
  /// Whether these bytes, read at its place, are block `sequence` of this life of the volume.
  [[nodiscard]] bool is_block(ConstBytes bytes, JournalSequence sequence) const;
  [[nodiscard]] const JournalRing& ring() const { return ring_; }

 private:
  Device& device_;
  JournalRing ring_;
  AlignedMemory chunk_;
  std::uint64_t first_ = 0;  // place of the chunk's first block
  std::uint64_t count_ = 0;
};

/// Looks at the whole ring. io if it cannot be read.
Task<Result<JournalExtent>> find_journal_extent(Device& device, const JournalRing& ring,
                                                JournalSequence journal_start);

/// What recovery may use of a journal.
struct UsableJournal {
  JournalExtent extent;
  /// The last block with usable entries; the one before the head if there is none.
  JournalSequence last;
  std::uint64_t entries = 0;
  // After the last usable entry.
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;
};

/// Goes through the entries from the head to the first damage and checks each. corrupt: an entry
/// is not valid, or entries are missing that were stable once. unsupported: blocks of the old form.
Task<Result<UsableJournal>> find_usable_journal(Device& device, const JournalRing& ring,
                                                const SuperBlock& super_block);

}  // namespace uvdo
