// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery/finish_journal.h"

#include <fmt/core.h>

#include "journal/journal_scan.h"
#include "journal/recovery_journal.h"

namespace uvdo {
namespace {

/// The last entry on disk that a recovery would use.
JournalPoint end_on_disk(const UsableJournal& usable, const SuperBlock& super_block) {
  if (!usable.extent.found) {
    return {super_block.journal.journal_start.value() - 1, kEntriesPerBlock - 1};
  }
  if (usable.last_entries == 0) return {usable.last.value() - 1, kEntriesPerBlock - 1};
  return {usable.last.value(), static_cast<std::uint16_t>(usable.last_entries - 1)};
}

Result<void> check_entries(const KeptJournal& kept, const SuperBlock& super_block) {
  const SlabLayout slabs(super_block.depot);
  for (const KeptJournalBlock& block : kept.blocks) {
    for (const JournalEntry& entry : block.entries) {
      if (is_valid(entry, super_block.config.physical_blocks, slabs)) continue;
      return Error(Errc::corrupt, fmt::format("block {} of the journal in its memory has an entry "
                                              "that makes no sense",
                                              block.sequence.value()));
    }
  }
  return {};
}

/// Nothing may be missing between what is on disk and what is to be written.
Result<void> check_end(const KeptJournal& kept, JournalPoint end, JournalSequence first) {
  const bool has_all_written = end >= kept.written;
  const JournalPoint before_first{first.value() - 1, kEntriesPerBlock - 1};
  if (has_all_written && end >= before_first) return {};
  return Error(Errc::corrupt,
               fmt::format("its journal on disk ends in block {}, but the server that died had "
                           "written more: this is an older copy of the volume, or the disk has "
                           "lost what it had been given",
                           end.sequence));
}

Task<Result<void>> add_entries(RecoveryJournal& journal, const KeptJournal& kept,
                               JournalSequence first) {
  for (const KeptJournalBlock& block : kept.blocks) {
    if (block.sequence < first) continue;
    for (const JournalEntry& entry : block.entries) {
      if (!journal.has_room()) {
        // What was in memory together has room here, too; nothing makes more of it.
        auto done = co_await journal.commit_all();
        if (!done) co_return done;
        if (!journal.has_room()) {
          co_return Error(Errc::corrupt, "the journal in its memory has more than the ring takes");
        }
      }
      journal.add(entry);
    }
  }
  co_return co_await journal.commit_all();
}

}  // namespace

Task<Result<void>> finish_journal(Executor& executor, PbnDevice blocks,
                                  const SuperBlock& super_block, const KeptJournal& kept) {
  if (kept.entries_behind_written() == 0) co_return Result<void>();
  auto done = check_entries(kept, super_block);
  if (!done) co_return done;
  auto usable = co_await find_usable_journal(blocks, journal_ring(super_block), super_block);
  if (!usable) co_return std::move(usable).error();
  if (usable->is_damaged()) co_return usable->error();
  const JournalPoint end = end_on_disk(*usable, super_block);
  const auto begins = std::ranges::find_if(kept.blocks, [&](const KeptJournalBlock& block) {
    return JournalPoint{block.sequence.value(),
                        static_cast<std::uint16_t>(block.entries.size() - 1)} > kept.written;
  });
  const JournalSequence first = begins->sequence;
  done = check_end(kept, end, first);
  if (!done) co_return done;

  RecoveryJournalConfig config = journal_config(super_block);
  config.tail = first;
  config.logical_blocks_used = begins->logical_blocks_used;
  config.block_map_blocks = begins->block_map_blocks;
  ReadOnlyNotifier notifier;
  RecoveryJournal journal(executor, blocks, notifier, config);
  // What lies before the start was saved, and is needed by nobody.
  const JournalSequence start = super_block.journal.journal_start;
  journal.take_over(std::max(kept.block_map_head, start), std::max(kept.slab_journal_head, start),
                    std::max(kept.head_on_disk, start));
  co_return co_await add_entries(journal, kept, first);
}

}  // namespace uvdo
