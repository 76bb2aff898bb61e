// SPDX-License-Identifier: GPL-2.0-or-later
// What a look at all blocks of the recovery journal's ring tells about where it begins and ends
// (vdo-behaviour.md, 9.1).
#pragma once

#include <algorithm>

#include "format/recovery_journal_block.h"

namespace uvdo {

/// Shown every block that counts, in the order of place, it knows heads and highest tail.
struct JournalExtent {
  bool found = false;  ///< there is a block at or after the journal start
  JournalSequence block_map_head;
  JournalSequence slab_journal_head;
  JournalSequence highest_tail;  ///< the journal start if nothing was found
  std::uint8_t tail_type = kJournalType;

  explicit JournalExtent(JournalSequence journal_start = {}) : highest_tail(journal_start) {}

  void add(const JournalBlockHeader& header) {
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
