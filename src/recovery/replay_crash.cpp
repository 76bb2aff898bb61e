// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery/replay_crash.h"

#include <fmt/core.h>

#include "blockmap/page_replay.h"

namespace uvdo {
namespace {

/// Passes on what the usable entries of a recovery journal block demand of block map pages.
template <typename Function>
void for_each_change(ConstBytes block, Function&& function) {
  const UsableEntries usable = usable_journal_entries(block, decode_journal_header(block));
  for (unsigned i = 0; i < usable.count; ++i) {
    const JournalEntry entry = journal_entry(block, i);
    function(PageChange(entry.page_pbn, entry.slot, entry.new_mapping));
    // The new page itself may not have been written, and perhaps never will be.
    if (entry.operation == JournalOperation::block_map_remapping) {
      function(PageReplay::touched(entry.new_mapping.pbn));
    }
  }
}

/// Journals what an entry demands of slabs. 1 if their journals did not have all of it.
std::uint64_t recover_entry(SlabDepot& depot, const JournalEntry& entry, JournalPoint point) {
  // The increment first, as when the change was made (behaviour.md, 9.4): the expanded points that
  // tell what a slab has rise in this order. Each half is asked for on its own: a slab may have had
  // the one and the other slab not the other.
  bool is_missing = false;
  if (entry.new_mapping.pbn != kZeroPbn) {
    const auto operation = entry.operation == JournalOperation::block_map_remapping
                               ? ReferenceOperation::block_map_increment
                               : ReferenceOperation::data_increment;
    is_missing = depot.recover_change(entry.new_mapping.pbn, operation, point);
  }
  if (entry.old_mapping.pbn != kZeroPbn) {
    is_missing |=
        depot.recover_change(entry.old_mapping.pbn, ReferenceOperation::data_decrement, point);
  }
  return is_missing ? 1 : 0;
}

/// The parts of the map that are replayed one after the other, so that the changes of each have
/// room in memory.
Task<Result<std::vector<ReplayRanges::Range>>> ranges_of(const Crash& crash, JournalReader& reader,
                                                         std::size_t replay_batch) {
  const UsableJournal& journal = crash.journal;
  // One range, the whole volume: the ring is gone through once.
  if (journal.entries <= replay_batch) co_return std::vector<ReplayRanges::Range>(1);
  ReplayRanges counted(crash.super_block.config.physical_blocks);
  for (JournalSequence s = journal.extent.block_map_head; s <= journal.last; ++s) {
    auto block = co_await reader.block(s);
    if (!block) co_return std::move(block).error();
    for_each_change(*block, [&](const PageChange& change) { counted.count(change.page()); });
  }
  co_return counted.ranges(replay_batch);
}

Task<Result<void>> replay_range(const UsableJournal& journal, JournalReader& reader,
                                PageReplay& replay, ReplayRanges::Range range) {
  for (JournalSequence s = journal.extent.block_map_head; s <= journal.last; ++s) {
    auto block = co_await reader.block(s);
    if (!block) co_return std::move(block).error();
    for_each_change(*block, [&](const PageChange& change) {
      if (range.contains(change.page())) replay.add(change);
    });
    // A range has more changes than fit only if a single slice of it does: then its pages are read
    // and written more than once.
    if (!replay.is_full()) continue;
    auto applied = co_await replay.apply();
    if (!applied) co_return applied;
  }
  co_return co_await replay.apply();
}

/// The number of entries that slabs' journals lacked.
Task<Result<std::uint64_t>> recover_entries(const Crash& crash, SlabDepot& depot) {
  std::uint64_t added = 0;
  JournalReader reader(crash.blocks, crash.ring);
  // From the slab journals' own head: entries before it are covered by summaries on the disk.
  for (JournalSequence s = crash.journal.extent.slab_journal_head; s <= crash.journal.last; ++s) {
    auto block = co_await reader.block(s);
    if (!block) co_return std::move(block).error();
    const UsableEntries usable = usable_journal_entries(*block, decode_journal_header(*block));
    for (unsigned i = 0; i < usable.count; ++i) {
      // An entry may need two new blocks. Writing full ones in between is harmless if it is all
      // repeated: the second time their slabs say that they have these entries.
      if (depot.is_recovery_full()) {
        auto done = co_await depot.write_recovered(false);
        if (!done) co_return std::move(done).error();
      }
      added += recover_entry(depot, journal_entry(*block, i),
                             {s.value(), static_cast<std::uint16_t>(i)});
    }
  }
  // The open blocks too, though they are not full: the super block that ends the recovery
  // makes this journal count no more.
  auto done = co_await depot.write_recovered(true);
  if (!done) co_return std::move(done).error();
  co_return added;
}

}  // namespace

Task<Result<void>> recover_block_map(const Crash& crash, std::size_t replay_batch) {
  const UsableJournal& journal = crash.journal;
  if (!journal.extent.found) co_return Result<void>();
  crash.log(fmt::format("replaying {} recovery entries into block map", journal.entries));
  JournalReader reader(crash.blocks, crash.ring);
  auto ranges = co_await ranges_of(crash, reader, replay_batch);
  if (!ranges) co_return std::move(ranges).error();
  PageReplay replay(crash.executor, crash.blocks, crash.super_block.nonce, PageReplay::Damage::fail,
                    replay_batch);
  for (const ReplayRanges::Range range : *ranges) {
    auto done = co_await replay_range(journal, reader, replay, range);
    if (!done) co_return done;
  }
  co_return co_await crash.blocks.flush();
}

Task<Result<void>> recover_slabs(const Crash& crash, SlabDepot& depot) {
  const UsableJournal& journal = crash.journal;
  auto done = co_await depot.load_journal_tails();
  if (!done) co_return done;
  // A slab journal block is written when its entries are stable. One with entries behind the usable
  // end shows that entries were lost, and what rests on them may be on the disk (behaviour.md,
  // 9.2).
  if (const JournalPoint newest = depot.newest_recovery_point(); !journal.covers(newest)) {
    co_return Error(
        Errc::corrupt,
        fmt::format("the recovery journal is damaged: a slab has what was stable in its "
                    "block {}, and it can be used only up to block {}",
                    newest.sequence, journal.last.value()));
  }
  if (journal.extent.found) {
    auto added = co_await recover_entries(crash, depot);
    if (!added) co_return std::move(added).error();
    crash.log(fmt::format("replayed {} journal entries into slab journals", *added));
  }
  // Only after the replay: it may have given changes to slabs that the summary calls unused.
  depot.load_unused();
  crash.log(fmt::format("rebuild complete: {} slabs wait for scrubbing", depot.unscrubbed()));
  co_return done;
}

}  // namespace uvdo
