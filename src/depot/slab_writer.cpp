// SPDX-License-Identifier: GPL-2.0-or-later
// How slab journals, reference blocks and the summary get to the disk (behaviour.md, 5.2, 5.3).
// One pass runs at a time. Its order is what recovery rests on:
//   recovery journal entries - slab journal blocks - flush - summary - flush - reference blocks -
//   flush.
// The second flush is for slab journal blocks that were ended before they were full. A reference
// block says up to which slab journal entry it counts, by that entry's number. If a power cut takes
// the summary that names a block ended early, but not a reference block that knows entries behind
// it, recovery journals them anew, in that block's place and so with lower numbers: others that it
// puts behind them would seem to be counted, and never are. The commit of the recovery journal
// before reference blocks is no such flush: those entries may have been committed before the
// summary was written.
#include <algorithm>
#include <array>
#include <utility>

#include "depot/slab_depot.h"
#include "device/write_burst.h"

namespace uvdo {
namespace {

/// Work to look at a slab, to write a block, and to forget it when the summary has named it.
constexpr std::uint64_t kUnitsPerSlab = 5;
constexpr std::uint64_t kUnitsPerBlockWritten = 80;
constexpr std::uint64_t kUnitsPerBlockNamed = 5;

}  // namespace

/// The end of a pass, whatever came of it: whoever waits for room looks again, or sees read-only
/// mode.
Task<Result<void>> SlabDepot::finish(Result<void> done) {
  needs_write_back_ = false;
  if (!done) notifier_.enter(done.error());
  writer_.release();
  room_.wake_all();
  co_return done;
}

Task<Result<void>> SlabDepot::write_back(JournalSequence release_before) {
  co_await writer_.acquire();
  to_write_.clear();
  for (const auto& slab : slabs_) {
    co_await executor_.give_way();
    executor_.spend(kUnitsPerSlab);
    const auto lock = slab->oldest_lock();
    if (!lock) continue;
    // The journal of a slab that waits for scrubbing may be full. A block that cannot be written
    // now must not end early: recovery would number the entries behind it in another way.
    if (slab->has_open_entries() && *lock < release_before &&
        slab->next_sequence() < slab->write_limit()) {
      slab->close_open_block();
    }
    if (slab->has_closed()) to_write_.push_back(slab.get());
  }
  auto done = co_await write_journals();
  for (const auto& slab : slabs_) {
    if (!done) break;
    co_await executor_.give_way();
    executor_.spend(kUnitsPerSlab);
    // The journal of a slab that waits for scrubbing is all there is of its latest counts.
    if (slab->is_ready() && slab->journal_blocks_in_use() >= config_.flushing) {
      done = co_await relieve(*slab);
    }
  }
  co_return co_await finish(std::move(done));
}

/// In rounds, as each round's summary gives room in the rings. Of a round: the entries become
/// stable in the recovery journal, the blocks are written, a flush, the summary is written; then
/// the blocks are named, and let go of memory and of their recovery journal blocks. Blocks that
/// find no place in the ring stay closed: their slab has to be relieved first.
Task<Result<void>> SlabDepot::write_journals() {
  std::vector<Slab*>& slabs = to_write_;
  std::vector<std::size_t>& counts = to_write_counts_;
  const auto has_no_place = [](Slab* slab) {
    return slab->oldest_closed()->header.sequence >= slab->write_limit();
  };
  std::erase_if(slabs, has_no_place);
  while (!slabs.empty()) {
    // What this round writes of each slab: as far as its ring has room.
    counts.clear();
    JournalPoint needed;
    for (Slab* slab : slabs) {
      std::size_t count = 0;
      for (const SlabJournalBlock* block = slab->oldest_closed();
           block != nullptr && block->header.sequence < slab->write_limit(); block = block->next) {
        needed = std::max(needed, block->last_entry);
        ++count;
      }
      check(count > 0, "a slab journal's ring has no room for its next block");
      counts.push_back(count);
    }
    Result<void> done;
    // One commit for all blocks of the round (behaviour.md, 5.2).
    if (!faults_.is_on(Fault::slab_journal_before_entry)) done = co_await journal_.commit(needed);
    if (!done) co_return done;
    WriteBurst burst(executor_, device_);
    for (std::size_t i = 0; i < slabs.size(); ++i) {
      co_await executor_.give_way();
      executor_.spend(counts[i] * kUnitsPerBlockWritten);
      Slab& slab = *slabs[i];
      SlabJournalBlock* block = slab.oldest_closed();
      for (std::size_t n = 0; n < counts[i]; ++n, block = block->next) {
        // As late as this, so that it says how far reference blocks have been written by now.
        block->header.head = slab.head();
        encode_slab_journal_header(block->header, block->bytes);
        const Pbn pbn = layout_.journal_block(slab.number(), block->header.sequence);
        burst.write(pbn, block->bytes);
        ++counters_.slab_journal.blocks_written;
      }
    }
    done = co_await burst.wait();
    if (!done) co_return done;
    if (!faults_.is_on(Fault::summary_without_flush)) done = co_await device_.flush();
    if (!done) co_return done;
    for (std::size_t i = 0; i < slabs.size(); ++i) {
      // The flush has covered the summary of the round before as well, and the heads it leads to.
      slabs[i]->summary_is_durable();
      const SlabSequence behind = slabs[i]->oldest_closed()->header.sequence + counts[i];
      SlabSummaryEntry& entry = slabs[i]->summary();
      entry.tail_offset = static_cast<std::uint8_t>(behind.value() % config_.slab_journal_blocks);
      entry.dirty = true;
      entry.load_reference_counts = slabs[i]->counts_are_on_disk();
      if (slabs[i]->is_ready()) {
        entry.fullness_hint = fullness_hint(slabs[i]->free_blocks(), layout_.slab_bits());
      }
    }
    summary_is_at_risk_ = false;
    done = co_await write_summary(slabs);
    if (!done) co_return done;
    std::size_t more = 0;  // have further blocks
    for (std::size_t i = 0; i < slabs.size(); ++i) {
      co_await executor_.give_way();
      executor_.spend(counts[i] * kUnitsPerBlockNamed);
      Slab& slab = *slabs[i];
      for (std::size_t n = 0; n < counts[i]; ++n) {
        const SlabJournalBlock& block = *slab.oldest_closed();
        // The recovery journal may forget these entries at its next flush, which makes this summary
        // durable.
        journal_.unlock(RecoveryJournal::Head::slab_journal, block.first_lock);
        slab.block_was_named(block.header);
        slab.drop_closed_block();
        if (closed_blocks_ > 0) --closed_blocks_;
      }
      if (slab.has_closed() && !has_no_place(&slab)) slabs[more++] = &slab;
    }
    slabs.resize(more);
  }
  co_return Result<void>();
}

/// Makes room in a slab journal: writes the reference blocks that hold its older half.
Task<Result<void>> SlabDepot::relieve(Slab& slab) {
  ++counters_.slab_journal.flush_count;
  // With no open block to name the new head, all of them.
  const bool has_next = slab.has_open_entries() || slab.has_closed();
  auto done =
      co_await write_references(slab, slab.next_sequence() - (has_next ? config_.flushing / 2 : 0));
  if (!done) co_return done;
  done = co_await device_.flush();
  if (!done) co_return done;
  slab.reap();
  // The new head counts when a block that says so has been named; end the open one for that.
  if (!slab.has_closed() && slab.has_open_entries()) slab.close_open_block();
  if (slab.has_closed()) {
    to_write_.assign(1, &slab);
    done = co_await write_journals();
  } else if (slab.head() == slab.next_sequence()) {
    // There is none, and none comes while the journal is full: nothing of it is needed any more.
    SlabSummaryEntry& entry = slab.summary();
    entry.load_reference_counts = true;
    entry.dirty = false;
    entry.fullness_hint = fullness_hint(slab.free_blocks(), layout_.slab_bits());
    slab.was_named_clean();
    done = co_await write_summary(slab);
  }
  if (done) done = co_await device_.flush();
  if (done) slab.summary_is_durable();
  co_return done;
}

Task<Result<void>> SlabDepot::write_references(Slab& slab, SlabSequence limit) {
  // The second flush of the file's head.
  if (summary_is_at_risk_ && !faults_.is_on(Fault::counts_before_summary)) {
    auto flushed = co_await device_.flush();
    if (!flushed) co_return flushed;
    summary_is_at_risk_ = false;
  }
  const AlignedMemory& memory = reference_memory_;
  std::array<Slab::ReferenceWrite, kReferenceBatch> batch;
  while (true) {
    std::size_t count = 0;
    while (count < kReferenceBatch) {
      // Copies are taken before the commit, so that it covers all that is in them.
      const auto write = slab.begin_write(limit, memory.block(count));
      if (!write) break;
      batch[count++] = *write;
    }
    const auto writes = std::span(batch).first(count);
    if (writes.empty()) co_return Result<void>();
    executor_.spend(writes.size() * kUnitsPerBlockWritten);
    co_await executor_.give_way();
    Result<void> done;
    if (!faults_.is_on(Fault::counts_before_entry)) {
      // Entries that came since are committed too, which does no harm.
      done = co_await journal_.commit(slab.last_recovery_entry());
    }
    WriteBurst burst(executor_, device_);
    for (std::size_t i = 0; done && i < writes.size();) {
      std::size_t run = 1;
      while (i + run < writes.size() && writes[i + run].index == writes[i].index + run) ++run;
      const Pbn pbn = layout_.reference_block(slab.number(), writes[i].index);
      burst.write(pbn, {memory.data() + i * kBlockSize, run * kBlockSize});
      counters_.ref_counts.blocks_written += run;
      i += run;
    }
    if (done) done = co_await burst.wait();
    for (const Slab::ReferenceWrite& write : writes) slab.end_write(write);
    if (!done) co_return done;
  }
}

Task<Result<void>> SlabDepot::write_summary(Slab& slab) {
  Slab* const one = &slab;
  co_return co_await write_summary({&one, 1});
}

Task<Result<void>> SlabDepot::write_summary(std::span<Slab* const> slabs) {
  std::array<bool, kSummaryBlocksPerZone> changed{};
  for (const Slab* slab : slabs) {
    const unsigned block = summary_block(0, slab->number());
    set_summary_entry(summary_.block(block), slab->number(), slab->summary());
    changed[block] = true;
  }
  for (unsigned block = 0; block < kSummaryBlocksPerZone; ++block) {
    if (!changed[block]) continue;
    summary_is_at_risk_ = true;
    auto done = co_await device_.write(summary_start_ + block, summary_.block(block));
    if (!done) co_return done;
    ++counters_.slab_summary.blocks_written;
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::save() {
  co_await writer_.acquire();
  auto done = co_await save_slabs();
  co_return co_await finish(std::move(done));
}

void SlabDepot::continue_after_save() {
  // No block of any slab journal is needed any more.
  for (const auto& slab : slabs_) slab->journal_was_scrubbed();
}

Task<Result<void>> SlabDepot::save_slabs() {
  // Blocks on their way to being free arrive there, so that the hints and the free counts are
  // final.
  while (!pending_frees_.empty()) {
    auto committed = co_await journal_.commit_all();
    if (!committed) co_return committed;
    co_await wait_for_frees();
    co_await executor_.next_turn();
  }
  to_write_.clear();
  std::vector<Slab*> changed;
  for (const auto& slab : slabs_) {
    if (slab->has_open_entries()) slab->close_open_block();
    if (slab->has_closed()) to_write_.push_back(slab.get());
    if (slab->is_ready() &&
        (slab->has_closed() || slab->dirty_reference_blocks() > 0 || slab->summary().dirty)) {
      changed.push_back(slab.get());
    }
  }
  auto done = co_await write_journals();
  for (Slab* slab : changed) {
    if (!done) co_return done;
    done = co_await write_references(*slab, slab->next_sequence());
  }
  if (!done) co_return done;
  // Counts are durable before a summary calls the journals empty.
  if (!changed.empty()) done = co_await device_.flush();
  if (!done) co_return done;
  for (Slab* slab : changed) {
    slab->reap();
    slab->summary().load_reference_counts = true;
    slab->summary().dirty = false;
  }
  // Blocks may have become free since a slab was last written.
  const std::size_t written = changed.size();  // in the order of their numbers
  for (const auto& slab : slabs_) {
    if (!slab->is_ready()) continue;
    const std::uint8_t hint = fullness_hint(slab->free_blocks(), layout_.slab_bits());
    if (std::exchange(slab->summary().fullness_hint, hint) == hint) continue;
    const bool is_there =
        std::ranges::binary_search(std::span(changed).first(written), slab->number(), {},
                                   [](const Slab* s) { return s->number(); });
    if (!is_there) changed.push_back(slab.get());
  }
  if (changed.empty()) co_return done;
  co_return co_await write_summary(changed);
}

}  // namespace uvdo
