// SPDX-License-Identifier: GPL-2.0-or-later
// Reading the recovery journal of a volume that was not shut down, for what format/ makes of it:
// where it begins and ends, and how far its entries can be used (behaviour.md, 9.1 and 9.2).
#pragma once

#include <cstdint>

#include "async/task.h"
#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "device/device.h"
#include "format/journal_view.h"
#include "format/usable_journal.h"

namespace uvdo {

/// Where the ring is.
struct JournalRing {
  std::uint64_t device_offset = 0;  ///< bytes, of the partition
  std::uint64_t size = 0;           ///< blocks
};
[[nodiscard]] JournalRing journal_ring(const SuperBlock& super_block,
                                       const VolumeGeometry& geometry);

/// Gives the blocks of the ring by sequence number, reading many at once.
class JournalReader {
 public:
  JournalReader(Device& device, const JournalRing& ring);
  /// What lies at the place of block `sequence`; valid until the next call. The block need not be
  /// that one: see is_journal_block().
  Task<Result<ConstBytes>> block(JournalSequence sequence);
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
                                                const SuperBlock& super_block);

/// What a recovery may use of the journal; it may be damaged. io if it cannot be read.
Task<Result<UsableJournal>> find_usable_journal(Device& device, const JournalRing& ring,
                                                const SuperBlock& super_block);

/// What the journal means for readers. unsupported: it is of an old form that only a rebuild reads.
Task<Result<JournalView>> view_journal(Device& device, const JournalRing& ring,
                                       const SuperBlock& super_block);

}  // namespace uvdo
