// SPDX-License-Identifier: GPL-2.0-or-later
#include "format/usable_journal.h"

#include <algorithm>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// Sentences about damage; the rest is counted.
constexpr std::size_t kDamageKept = 20;

}  // namespace

bool is_journal_block(const JournalBlockHeader& header, JournalSequence sequence,
                      const SuperBlock& super) {
  const std::uint64_t size = super.config.journal_size;
  return header.sequence == sequence &&
         counts(header, super.nonce, super.recovery_count(), size, sequence.value() % size);
}

Error UsableJournal::error() const {
  return {Errc::corrupt, "the recovery journal is corrupted: " + damage.front()};
}

bool UsableJournal::covers(JournalPoint expanded) const {
  // With nothing in it, it goes up to before the journal start.
  if (!extent.found) return expanded.sequence < extent.highest_tail.value();
  return expanded.sequence < last.value() ||
         (expanded.sequence == last.value() && expanded.entry_count / 2U < last_entries);
}

Error old_journal_error() {
  return {Errc::unsupported,
          "the recovery journal is of an old form that cannot be replayed: shut the volume down "
          "with the program that wrote it"};
}

JournalScan::JournalScan(const SuperBlock& super) : super_(super), slabs_(super.depot) {
  usable_.extent = JournalExtent(super.journal.journal_start);
  usable_.logical_blocks_used = super.journal.logical_blocks_used;
  usable_.block_map_blocks = super.journal.block_map_blocks;
}

void JournalScan::survey(std::uint64_t place, ConstBytes block) {
  const JournalBlockHeader header = decode_journal_header(block);
  if (!counts(header, super_.nonce, super_.recovery_count(), super_.config.journal_size, place)) {
    return;
  }
  usable_.extent.add(header);
}

void JournalScan::begin() {
  const JournalExtent& extent = usable_.extent;
  usable_.last = extent.highest_tail;
  if (!extent.found) return;
  // Sequence numbers begin with 1, and the block before the head is to be seen, too.
  if (extent.head() == JournalSequence{0}) return tell("it has no head");
  usable_.last = next_ = extent.head() - 1;
  step_ = Step::before_head;
}

unsigned JournalScan::take_block(ConstBytes block) {
  const JournalBlockHeader header = decode_journal_header(block);
  const bool is_there = is_journal_block(header, next_, super_);
  switch (step_) {
    case Step::before_head: {
      // It gives the counters with which the part that is used begins.
      if (is_there && header.type == kJournalType) {
        const UsableEntries found = usable_journal_entries(block, header);
        if (found.whole) count(block, header, found.count);
      }
      ++next_;
      step_ = next_ > usable_.extent.highest_tail ? Step::done : Step::usable;
      return 0;
    }
    case Step::usable:
      if (is_there) return use(block, header);
      end_at(next_);
      return 0;
    case Step::behind: look_behind(block, header, is_there); return 0;
    case Step::done: break;
  }
  return 0;
}

unsigned JournalScan::use(ConstBytes block, const JournalBlockHeader& header) {
  if (header.type != kJournalType) {
    usable_.is_of_old_form = true;
    tell("it is of an old form");
    step_ = Step::done;
    return 0;
  }
  const UsableEntries found = usable_journal_entries(block, header);
  check_entries(block, next_, found.count);
  usable_.entries += found.count;
  usable_.last = next_;
  usable_.last_entries = found.count;
  count(block, header, found.count);
  // Entries of a torn block count, but nothing behind it does (behaviour.md, 9).
  if (!found.whole) {
    end_at(next_);
  } else {
    go_on();
  }
  return found.count;
}

void JournalScan::end_at(JournalSequence end) {
  lose(end);
  const JournalSequence tail = usable_.extent.highest_tail;
  next_ = end + 1;
  // More than a ring of blocks cannot be behind it.
  const std::uint64_t size = super_.config.journal_size;
  if (tail.value() >= size) next_ = std::max(next_, tail - (size - 1));
  step_ = next_ > tail ? Step::done : Step::behind;
}

void JournalScan::look_behind(ConstBytes block, const JournalBlockHeader& header, bool is_there) {
  bool is_whole = false;
  if (is_there && header.type == kJournalType) {
    const UsableEntries found = usable_journal_entries(block, header);
    // A rebuild applies these, a recovery does not.
    ++usable_.blocks_behind;
    usable_.entries_behind += found.count;
    is_whole = found.whole;
  }
  if (!is_whole) lose(next_);
  go_on();
}

void JournalScan::go_on() {
  if (next_ == usable_.extent.highest_tail) step_ = Step::done;
  ++next_;
}

void JournalScan::lose(JournalSequence sequence) {
  // Beyond that blocks were on their way in any order, and holes are no damage.
  if (sequence > usable_.extent.stable_through) return;
  ++usable_.lost_blocks;
  tell(
      fmt::format("block {} is missing, or a part of it, though it was stable before others that "
                  "are there",
                  sequence.value()));
}

void JournalScan::count(ConstBytes block, const JournalBlockHeader& header, unsigned entries) {
  // The counters after a block: its own at its opening, changed by its entries.
  usable_.logical_blocks_used = header.logical_blocks_used;
  usable_.block_map_blocks = header.block_map_blocks;
  for (unsigned i = 0; i < entries; ++i) {
    const JournalEntry entry = journal_entry(block, i);
    if (entry.operation == JournalOperation::block_map_remapping) {
      ++usable_.block_map_blocks;
    } else {
      usable_.logical_blocks_used += entry.new_mapping.is_mapped() ? 1U : 0U;
      usable_.logical_blocks_used -= entry.old_mapping.is_mapped() ? 1U : 0U;
    }
  }
}

void JournalScan::check_entries(ConstBytes block, JournalSequence sequence, unsigned entries) {
  for (unsigned i = 0; i < entries; ++i) {
    const JournalEntry entry = journal_entry(block, i);
    if (is_applicable(entry, super_, slabs_)) continue;
    ++usable_.invalid_entries;
    tell(fmt::format(
        "entry {} of block {} is not valid: operation {}, page {} slot {}, from {} "
        "(state {}) to {} (state {})",
        i, sequence.value(), static_cast<unsigned>(entry.operation), entry.page_pbn.value(),
        entry.slot, entry.old_mapping.pbn.value(), entry.old_mapping.state,
        entry.new_mapping.pbn.value(), entry.new_mapping.state));
  }
}

void JournalScan::tell(std::string text) {
  if (usable_.damage.size() < kDamageKept) usable_.damage.push_back(std::move(text));
}

UsableJournal JournalScan::finish() {
  const JournalExtent& extent = usable_.extent;
  // Heads only move over blocks that are stable. That the block at the head itself is missing can
  // be: it was being written.
  const JournalSequence last_head = std::max(extent.block_map_head, extent.slab_journal_head);
  const bool is_beyond = last_head > usable_.last + 1 || last_head > extent.highest_tail;
  if (extent.found && !usable_.is_of_old_form && is_beyond) {
    tell(fmt::format("its heads are at {} and {}, but it can be used only up to block {}",
                     extent.block_map_head.value(), extent.slab_journal_head.value(),
                     usable_.last.value()));
  }
  if (usable_.lost_blocks > 0) {
    tell(fmt::format("a recovery does not apply the {} entries of {} blocks behind",
                     usable_.entries_behind, usable_.blocks_behind));
  }
  return std::move(usable_);
}

}  // namespace uvdo
