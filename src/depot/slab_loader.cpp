// SPDX-License-Identifier: GPL-2.0-or-later
// How the slabs get from the disk into memory: summary, journal tails, reference counts, and the
// replay of a slab journal over them, called scrubbing (behaviour.md, 8).
#include <algorithm>
#include <bit>

#include <fmt/core.h>

#include "depot/slab_depot.h"

namespace uvdo {
namespace {

/// Work to unpack a block of counts, and to replay an entry of a slab journal.
constexpr std::uint64_t kUnitsPerReferenceBlock = 100;
constexpr std::uint64_t kUnitsPerEntry = 2;
constexpr unsigned kBitsPerWord = 64;

}  // namespace

Task<Result<void>> SlabDepot::load_new() {
  fill_unused_summary(0);
  for (const auto& slab : slabs_) {
    slab->summary() = {0, fullness_hint(config_.data_blocks, layout_.slab_bits()), false, false};
    slab->load_pristine();
    became_ready(*slab);
  }
  co_return co_await write_whole_summary(summary_start_);
}

Task<Result<void>> SlabDepot::load_summary(std::uint8_t old_zone_count) {
  AlignedMemory all(kSlabSummaryBlocks * kBlockSize);
  auto done = co_await device_.read(summary_start_, all.bytes());
  if (!done) co_return done;
  for (const auto& slab : slabs_) {
    const SlabNumber n = slab->number();
    const unsigned zone = summary_zone(n, old_zone_count);
    slab->summary() = summary_entry(all.block(summary_block(zone, n)), n);
    // Merged into one area, which all 16 get (behaviour.md, 8): with that the zone count does not
    // matter.
    set_summary_entry(summary_.block(summary_block(0, n)), n, slab->summary());
  }
  fill_unused_summary(slab_count());
  co_return co_await write_whole_summary(summary_start_);
}

/// Slabs that the volume may get by growth have entries too: those of slabs never used.
void SlabDepot::fill_unused_summary(SlabNumber first) {
  const SlabSummaryEntry unused{0, fullness_hint(config_.data_blocks, layout_.slab_bits()), false,
                                false};
  for (SlabNumber n = first; n < kMaxSlabs; ++n) {
    set_summary_entry(summary_.block(summary_block(0, n)), n, unused);
  }
}

Task<Result<void>> SlabDepot::write_whole_summary(Pbn start) {
  for (unsigned zone = 0; zone < kSummaryZones; ++zone) {
    auto done = co_await device_.write(start + std::uint64_t{zone} * kSummaryBlocksPerZone,
                                       summary_.bytes());
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::load_journals() {
  auto done = co_await load_journal_tails();
  if (done) load_unused();
  co_return done;
}

Task<Result<void>> SlabDepot::load_journal_tails() {
  for (const auto& slab : slabs_) {
    if (slab->summary().is_unused()) continue;
    auto done = co_await load_tail(*slab);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

void SlabDepot::load_unused() {
  for (const auto& slab : slabs_) {
    if (slab->is_ready() || !slab->summary().is_unused()) continue;
    slab->load_pristine();
    became_ready(*slab);
  }
}

Task<Result<void>> SlabDepot::load_tail(Slab& slab) {
  const SlabSummaryEntry& entry = slab.summary();
  const std::uint64_t ring = config_.slab_journal_blocks;
  if (entry.tail_offset >= ring) {
    co_return Error(Errc::corrupt,
                    fmt::format("the summary of slab {} names journal block {} of {}",
                                slab.number(), entry.tail_offset, ring));
  }
  AlignedMemory memory(kBlockSize);
  const Pbn pbn = layout_.journal_block_at(slab.number(), (entry.tail_offset + ring - 1) % ring);
  auto done = co_await device_.read(pbn, memory.bytes());
  if (!done) co_return done;
  const SlabJournalHeader header = decode_slab_journal_header(memory.bytes());
  if (!counts(header, nonce_)) {
    // The counts of this slab were rebuilt, and its journal is new.
    if (entry.dirty) {
      co_return Error(Errc::corrupt,
                      fmt::format("the journal of slab {} has no valid last block", slab.number()));
    }
    co_return Result<void>();
  }
  // The sequence is that of the block itself, never reckoned from the offset (volume.md, 5.3).
  const SlabSequence next = header.sequence + 1;
  // Counts on the disk are complete if the slab is not dirty: then no block is needed.
  const SlabSequence head = entry.dirty ? header.head : next;
  if (head > next || next - head > ring || head == SlabSequence{0}) {
    co_return Error(Errc::corrupt,
                    fmt::format("the journal of slab {} claims to reach from block {} to {}",
                                slab.number(), head.value(), header.sequence.value()));
  }
  const auto last =
      static_cast<std::uint16_t>(header.entry_count == 0 ? 0 : header.entry_count - 1);
  slab.load_journal(head, next, {header.sequence.value(), last}, header.recovery_point);
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::scrub_all() {
  for (const auto& slab : slabs_) {
    if (slab->is_ready()) continue;
    auto done = co_await scrub(*slab);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::scrub(Slab& slab) {
  // Journal blocks of this slab that are written meanwhile would be neither here nor there.
  co_await writer_.acquire();
  auto done = co_await scrub_alone(slab);
  writer_.release();
  room_.wake_all();
  co_return done;
}

Task<Result<void>> SlabDepot::scrub_alone(Slab& slab) {
  const std::uint64_t blocks = reference_blocks_used(config_.data_blocks);
  const bool was_dirty = slab.summary().dirty;
  const bool was_written = slab.summary().load_reference_counts;
  Scrubbing& state = scrubbing_;
  state.counts = slab.counts_to_load();
  // If counts were never written they are zeros, all of the journal applies, and all are written.
  state.points.assign(blocks * kSectorsPerBlock, {});
  state.changed.assign(blocks, was_dirty && !was_written);
  state.decremented.assign((config_.data_blocks + kBitsPerWord - 1) / kBitsPerWord, 0);
  state.has_decrements = false;
  Result<void> done;
  if (was_written) done = co_await read_counts(slab, state);
  // Changes go on being journaled meanwhile, in memory: no block of the slab is written, as this
  // has writer_. So named() stands still and the rest is all in memory at the end.
  if (done && was_dirty) done = co_await replay_journal(slab, state);
  // From here on nothing waits until the slab is ready: no change may come in between.
  if (done) done = replay_unnamed(slab, state);
  if (!done) co_return done;
  if (state.has_decrements) hold_freed(slab, state);
  slab.load_counts();
  for (std::uint32_t i = 0; i < state.changed.size(); ++i) {
    if (state.changed[i]) slab.dirty_reference_block(i);
  }
  // Its counts are written after it is in use: allocation need not wait for that.
  became_ready(slab);
  co_return co_await write_scrubbed(slab, was_dirty);
}

Task<Result<void>> SlabDepot::read_counts(Slab& slab, Scrubbing& state) {
  const AlignedMemory& memory = reference_memory_;
  const std::uint64_t blocks = reference_blocks_used(config_.data_blocks);
  for (std::uint64_t first = 0; first < blocks; first += kReferenceBatch) {
    co_await executor_.give_way();
    const std::size_t chunk = std::min<std::uint64_t>(kReferenceBatch, blocks - first);
    auto done = co_await device_.read(layout_.reference_block(slab.number(), first),
                                      memory.bytes().first(chunk * kBlockSize));
    if (!done) co_return done;
    executor_.spend(chunk * kUnitsPerReferenceBlock);
    for (std::size_t i = 0; i < chunk; ++i) {
      const std::size_t at = (first + i) * kCountsPerBlock;
      const std::size_t n = std::min<std::size_t>(kCountsPerBlock, state.counts.size() - at);
      const CommitPoints points =
          unpack_reference_block(memory.block(i), state.counts.subspan(at, n));
      std::copy(points.begin(), points.end(),
                state.points.begin() + static_cast<std::ptrdiff_t>((first + i) * kSectorsPerBlock));
      // A torn block is made whole again.
      if (std::ranges::any_of(points, [&](JournalPoint p) { return p != points[0]; })) {
        state.changed[first + i] = true;
      }
    }
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::replay_journal(Slab& slab, Scrubbing& state) {
  const MutableBytes block = reference_memory_.block(0);
  for (SlabSequence s = slab.head(); s < slab.named(); ++s) {
    co_await executor_.give_way();
    auto done = co_await device_.read(layout_.journal_block(slab.number(), s), block);
    if (!done) co_return done;
    const SlabJournalHeader header = decode_slab_journal_header(block);
    if (!uvdo::counts(header, nonce_) || header.sequence != s) {
      co_return Error(Errc::corrupt, fmt::format("block {} of the journal of slab {} is not valid",
                                                 s.value(), slab.number()));
    }
    executor_.spend(std::uint64_t{header.entry_count} * kUnitsPerEntry);
    for (unsigned i = 0; i < header.entry_count; ++i) {
      auto replayed = replay_entry(slab, state, {s.value(), static_cast<std::uint16_t>(i)},
                                   slab_journal_entry(block, header, i));
      if (!replayed) co_return replayed;
    }
  }
  co_return Result<void>();
}

Result<void> SlabDepot::replay_entry(const Slab& slab, Scrubbing& state, JournalPoint point,
                                     SlabJournalEntry entry) const {
  if (entry.sbn >= config_.data_blocks) {
    return Error(Errc::corrupt, fmt::format("the journal of slab {} names block {} of {}",
                                            slab.number(), entry.sbn, config_.data_blocks));
  }
  if (entry.operation == ReferenceOperation::data_decrement) {
    // Noted even if the counts know the change: whether it is stable and unread is another
    // question.
    state.decremented[entry.sbn / kBitsPerWord] |= std::uint64_t{1} << entry.sbn % kBitsPerWord;
    state.has_decrements = true;
  }
  // The counts may know it already.
  if (point <= state.points[entry.sbn / kCountsPerSector] &&
      !faults_.is_on(Fault::replay_ignores_points)) {
    return {};
  }
  auto changed = Slab::change_count(state.counts, entry.sbn, entry.operation);
  if (!changed) {
    return std::move(changed).error().within(
        fmt::format("replaying block {} of the journal of slab {}", point.sequence, slab.number()));
  }
  state.changed[entry.sbn / kCountsPerBlock] = true;
  return {};
}

Result<void> SlabDepot::replay_unnamed(const Slab& slab, Scrubbing& state) const {
  Result<void> done;
  slab.for_each_unnamed_entry([&](JournalPoint point, SlabJournalEntry entry) {
    if (done) done = replay_entry(slab, state, point, entry);
  });
  return done;
}

/// Blocks that have just lost their last reference may be read still, and the journal entry that
/// says so may not be stable: they become free as they would in a slab in use.
void SlabDepot::hold_freed(const Slab& slab, Scrubbing& state) {
  PendingFrees::Several frees(pending_frees_, epochs_.retire());
  for (std::size_t word = 0; word < state.decremented.size(); ++word) {
    for (std::uint64_t left = state.decremented[word]; left != 0; left &= left - 1) {
      const auto sbn =
          static_cast<Sbn>(word * kBitsPerWord + static_cast<unsigned>(std::countr_zero(left)));
      if (state.counts[sbn] != kFree) continue;
      state.counts[sbn] = kProvisional;
      frees.add(layout_.pbn_of(slab.number(), sbn), journal_.last_point());
    }
  }
}

Task<Result<void>> SlabDepot::write_scrubbed(Slab& slab, bool was_dirty) {
  if (!was_dirty && slab.dirty_reference_blocks() == 0) co_return Result<void>();
  auto done = co_await write_references(slab, slab.next_sequence() + 1);
  if (done) done = co_await device_.flush();
  if (!done) co_return done;
  // Whatever changes from here on is in blocks that the summary does not name.
  slab.summary().load_reference_counts = true;
  slab.summary().dirty = false;
  slab.summary().fullness_hint = fullness_hint(slab.free_blocks(), layout_.slab_bits());
  done = co_await write_summary(slab);
  // Only then may the journal's ring be written over.
  if (done) done = co_await device_.flush();
  if (done) slab.journal_was_scrubbed();
  co_return done;
}

}  // namespace uvdo
