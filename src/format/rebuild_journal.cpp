// SPDX-License-Identifier: GPL-2.0-or-later
#include "format/rebuild_journal.h"

#include <algorithm>

#include <fmt/core.h>

#include "format/journal_limits.h"

namespace uvdo {

RebuildJournal::RebuildJournal(const SuperBlock& super, const JournalExtent& extent)
    : super_(super), slabs_(super.depot), extent_(extent), first_(extent.block_map_head) {
  const std::uint64_t size = super.config.journal_size;
  const JournalSequence tail = extent.highest_tail;
  // The ring has no more blocks than that.
  if (tail.value() >= size) first_ = std::max(first_, tail - (size - 1));
  // Then last() is before it, and there is nothing to visit.
  if (!extent.found) first_ = tail + 1;
}

std::string RebuildJournal::invalid_text(JournalSequence sequence, unsigned index) {
  return fmt::format("entry {} of block {} of the recovery journal is not valid", index,
                     sequence.value());
}

std::string RebuildJournal::lost_text(JournalSequence sequence, std::uint64_t entries) {
  return fmt::format(
      "block {} of the recovery journal is missing, or a part of it: up to {} changes are lost",
      sequence.value(), entries);
}

std::optional<PageChange> RebuildJournal::change_of(ConstBytes block,
                                                    const JournalBlockHeader& header,
                                                    unsigned index, bool& is_valid) const {
  if (header.type == kJournalTypeOld) {
    const OldJournalEntry entry = old_journal_entry(block, index);
    is_valid = is_applicable(entry, super_, slabs_);
    // What goes away needs no mention: what takes its place does.
    if (is_valid && (entry.operation == OldJournalOperation::data_increment ||
                     entry.operation == OldJournalOperation::block_map_increment)) {
      return PageChange(entry.page_pbn, entry.slot, entry.mapping);
    }
    return std::nullopt;
  }
  const JournalEntry entry = journal_entry(block, index);
  is_valid = is_applicable(entry, super_, slabs_);
  if (!is_valid) return std::nullopt;
  return PageChange(entry.page_pbn, entry.slot, entry.new_mapping);
}

}  // namespace uvdo
