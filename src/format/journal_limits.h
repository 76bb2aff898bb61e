// SPDX-License-Identifier: GPL-2.0-or-later
// What an entry or a block of the recovery journal cannot say unless it is damaged.
#pragma once

#include "format/recovery_journal_block.h"
#include "format/slab_layout.h"
#include "format/super_block.h"

namespace uvdo {

/// Sequence numbers are below 2^48, which no volume comes near: a block that says otherwise is
/// damaged, and a volume is not opened for writing so close to it that it might get there.
inline constexpr std::uint64_t kLastSequence = kMaxSequence - (1ULL << 40U);

/// Whether a page of the map can be at `pbn`: leaves lie in slabs, their ancestors there or at a
/// root. Nothing else is written over, whatever an entry says.
[[nodiscard]] inline bool is_page_place(Pbn pbn, bool is_leaf, const SuperBlock& super,
                                        const SlabLayout& slabs) {
  const Pbn roots = super.block_map.root_origin;
  return slabs.is_data_block(pbn) || (!is_leaf && pbn >= roots && pbn < roots + kBlockMapRoots);
}

/// Whether a recovery of this volume may apply an entry.
[[nodiscard]] inline bool is_applicable(const JournalEntry& entry, const SuperBlock& super,
                                        const SlabLayout& slabs) {
  const bool is_leaf = entry.operation == JournalOperation::data_remapping;
  return is_valid(entry, super.config.physical_blocks, slabs) &&
         is_page_place(entry.page_pbn, is_leaf, super, slabs);
}
[[nodiscard]] inline bool is_applicable(const OldJournalEntry& entry, const SuperBlock& super,
                                        const SlabLayout& slabs) {
  const bool is_leaf = entry.operation == OldJournalOperation::data_decrement ||
                       entry.operation == OldJournalOperation::data_increment;
  return is_valid(entry, super.config.physical_blocks, slabs) &&
         is_page_place(entry.page_pbn, is_leaf, super, slabs);
}

}  // namespace uvdo
