// SPDX-License-Identifier: GPL-2.0-or-later
// What a rebuild uses of the recovery journal (behaviour.md, 10): whatever is there, from the
// head of the block map on; nothing ends it. One rule for the rebuild and for all who show what it
// would bring back. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "format/journal_extent.h"
#include "format/page_change.h"
#include "format/slab_layout.h"
#include "format/super_block.h"
#include "format/usable_journal.h"

namespace uvdo {

class RebuildJournal {
 public:
  /// `extent` of the whole ring.
  RebuildJournal(const SuperBlock& super, const JournalExtent& extent);

  /// The blocks to be shown to visit(), in their order; first() > last(): none.
  [[nodiscard]] JournalSequence first() const { return first_; }
  [[nodiscard]] JournalSequence last() const { return extent_.highest_tail; }

  /// Sentences for people, of what visit() has found.
  [[nodiscard]] static std::string invalid_text(JournalSequence sequence, unsigned index);
  [[nodiscard]] static std::string lost_text(JournalSequence sequence, std::uint64_t entries);

  /// What became of a block.
  struct Visit {
    std::uint64_t applied = 0;
    /// Entries that were stable once and are missing, at most; a block that was only on its way to
    /// the disk has lost none.
    std::uint64_t lost = 0;
  };
  /// `block` is what lies at the place of block `sequence`. Calls change(PageChange) for what is to
  /// be applied, and invalid(index) for entries that cannot be.
  template <class Change, class Invalid>
  [[nodiscard]] Visit visit(JournalSequence sequence, ConstBytes block, Change&& change,
                            Invalid&& invalid) const {
    const JournalBlockHeader header = decode_journal_header(block);
    Visit result;
    std::uint64_t seen = 0;
    if (is_journal_block(header, sequence, super_) && header.type == extent_.tail_type) {
      for_each_rebuild_entry(block, header, [&](unsigned index) {
        ++seen;
        bool is_valid = true;
        if (const auto wanted = change_of(block, header, index, is_valid)) {
          ++result.applied;
          change(*wanted);
        }
        if (!is_valid) invalid(index);
      });
    }
    const std::uint64_t whole = entries_per_block(extent_.tail_type);
    if (sequence <= extent_.stable_through && seen < whole) result.lost = whole - seen;
    return result;
  }

 private:
  [[nodiscard]] std::optional<PageChange> change_of(ConstBytes block,
                                                    const JournalBlockHeader& header,
                                                    unsigned index, bool& is_valid) const;
  SuperBlock super_;
  SlabLayout slabs_;
  JournalExtent extent_;
  JournalSequence first_;
};

}  // namespace uvdo
