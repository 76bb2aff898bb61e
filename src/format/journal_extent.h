// SPDX-License-Identifier: GPL-2.0-or-later
// What a look at all blocks of the recovery journal's ring tells about where it begins and ends
// (behaviour.md, 9.1).
#pragma once

#include <algorithm>

#include "format/recovery_journal_block.h"

namespace uvdo {

/// So many full blocks may be on their way to the disk together, in any order: what uvdo writes at
/// once; a kernel's writers in flight fill eleven.
inline constexpr std::uint64_t kJournalBlocksTogether = 128;

/// Shown every block that counts, in the order of place, it knows heads and highest tail.
struct JournalExtent {
  bool found = false;  ///< there is a block at or after the journal start
  JournalSequence block_map_head;
  JournalSequence slab_journal_head;
  JournalSequence highest_tail;  ///< the journal start if nothing was found
  std::uint8_t tail_type = kJournalType;
  /// All blocks up to here, from the head on, have been stable: see add(). {0}: nothing is known.
  JournalSequence stable_through{0};

  explicit JournalExtent(JournalSequence journal_start = {}) : highest_tail(journal_start) {}

  /// A power cut may leave holes among the blocks that were on their way to the disk, and blocks
  /// that nobody was promised behind them. A block that is missing though it was stable once is
  /// damage. Which ones were stable tell the blocks behind them: a block that is not full is
  /// written alone, when all before it are stable, by the kernel and by uvdo; and a full one
  /// follows less than kJournalBlocksTogether others that are not stable yet.
  void add(const JournalBlockHeader& header) {
    const bool is_full = header.entry_count == entries_per_block(header.type);
    const std::uint64_t behind = is_full ? kJournalBlocksTogether : 1;
    if (header.sequence.value() > behind) {
      stable_through = std::max(stable_through, header.sequence - behind);
    }
    if (header.sequence >= highest_tail) {
      highest_tail = header.sequence;
      tail_type = header.type;
      found = true;
    }
    if (!found) return;
    block_map_head = std::max(block_map_head, header.block_map_head);
    slab_journal_head = std::max(slab_journal_head, header.slab_journal_head);
  }
  /// The first block that a recovery reads.
  [[nodiscard]] JournalSequence head() const { return std::min(block_map_head, slab_journal_head); }
};

}  // namespace uvdo
