// SPDX-License-Identifier: GPL-2.0-or-later
// How the slabs get from the disk into memory: summary, journal tails, reference counts, and the
// replay of a slab journal over them, called scrubbing (vdo-behaviour.md, 8).
#include <algorithm>

#include <fmt/format.h>

#include "depot/slab_depot.h"

namespace uvdo {
namespace {

constexpr std::size_t kReadChunkBlocks = 64;

}  // namespace

Task<Result<void>> SlabDepot::load_new() {
  for (const auto& slab : slabs_) {
    slab->summary() = {0, fullness_hint(config_.data_blocks, layout_.slab_bits()), false, false};
    set_summary_entry(summary_.block(summary_block(0, slab->number())), slab->number(),
                      slab->summary());
    slab->load_pristine();
    became_ready(*slab);
  }
  co_return co_await write_whole_summary();
}

Task<Result<void>> SlabDepot::load_summary(std::uint8_t old_zone_count) {
  AlignedMemory all(kSlabSummaryBlocks * kBlockSize);
  auto done = co_await device_.read(device_byte(summary_start_), all.bytes());
  if (!done) co_return done;
  for (const auto& slab : slabs_) {
    const SlabNumber n = slab->number();
    const unsigned zone = summary_zone(n, old_zone_count);
    slab->summary() = summary_entry(all.block(summary_block(zone, n)), n);
    set_summary_entry(summary_.block(summary_block(0, n)), n, slab->summary());
  }
  co_return co_await write_whole_summary();
}

Task<Result<void>> SlabDepot::write_whole_summary() {
  for (unsigned zone = 0; zone < kSummaryZones; ++zone) {
    auto done = co_await device_.write(
        device_byte(summary_start_ + zone * kSummaryBlocksPerZone), summary_.bytes());
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::load_journals() {
  for (const auto& slab : slabs_) {
    if (slab->summary().is_unused()) {
      slab->load_pristine();
      became_ready(*slab);
      continue;
    }
    auto done = co_await load_tail(*slab);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::load_tail(Slab& slab) {
  const SlabSummaryEntry& entry = slab.summary();
  const std::uint64_t ring = config_.slab_journal_blocks;
  if (entry.tail_offset >= ring) {
    co_return Error(Errc::corrupt, fmt::format("the summary of slab {} names journal block {} of {}",
                                               slab.number(), entry.tail_offset, ring));
  }
  AlignedMemory memory(kBlockSize);
  const Pbn pbn = layout_.journal_block_at(slab.number(), (entry.tail_offset + ring - 1) % ring);
  auto done = co_await device_.read(device_byte(pbn), memory.bytes());
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
  const SlabSequence next = header.sequence + 1;
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
  std::vector<ReferenceCount> counts(config_.data_blocks);
  std::vector<JournalPoint> points(reference_blocks_used(config_.data_blocks) * kSectorsPerBlock);
  Result<void> done;
  if (slab.summary().load_reference_counts) done = co_await read_counts(slab, counts, points);
  if (!done) co_return done;
  if (slab.summary().dirty) {
    done = co_await replay_journal(slab, counts, points);
    if (!done) co_return done;
    done = co_await write_scrubbed(slab, counts, slab.last_point());
    if (!done) co_return done;
    slab.load_journal(slab.next_sequence(), slab.next_sequence(), slab.last_point(),
                      slab.recovery_point());
  }
  slab.load_counts(std::move(counts));
  became_ready(slab);
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::read_counts(Slab& slab, std::vector<ReferenceCount>& counts,
                                          std::vector<JournalPoint>& points) {
  AlignedMemory memory(kReadChunkBlocks * kBlockSize);
  const std::uint64_t blocks = reference_blocks_used(config_.data_blocks);
  for (std::uint64_t first = 0; first < blocks; first += kReadChunkBlocks) {
    const std::size_t chunk = std::min<std::uint64_t>(kReadChunkBlocks, blocks - first);
    auto done = co_await device_.read(device_byte(layout_.reference_block(slab.number(), first)),
                                      memory.bytes().first(chunk * kBlockSize));
    if (!done) co_return done;
    for (std::size_t i = 0; i < chunk; ++i) {
      const std::size_t at = (first + i) * kCountsPerBlock;
      const std::size_t n = std::min<std::size_t>(kCountsPerBlock, counts.size() - at);
      const CommitPoints sector_points =
          unpack_reference_block(memory.block(i), std::span(counts).subspan(at, n));
      std::copy(sector_points.begin(), sector_points.end(),
                points.begin() + static_cast<std::ptrdiff_t>((first + i) * kSectorsPerBlock));
    }
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::replay_journal(Slab& slab, std::vector<ReferenceCount>& counts,
                                             const std::vector<JournalPoint>& points) {
  AlignedMemory memory(kBlockSize);
  for (SlabSequence s = slab.head(); s < slab.next_sequence(); ++s) {
    auto done = co_await device_.read(device_byte(layout_.journal_block(slab.number(), s)),
                                      memory.bytes());
    if (!done) co_return done;
    const SlabJournalHeader header = decode_slab_journal_header(memory.bytes());
    if (!uvdo::counts(header, nonce_) || header.sequence != s) {
      co_return Error(Errc::corrupt, fmt::format("block {} of the journal of slab {} is not valid",
                                                 s.value(), slab.number()));
    }
    for (unsigned i = 0; i < header.entry_count; ++i) {
      const SlabJournalEntry entry = slab_journal_entry(memory.bytes(), header, i);
      if (entry.sbn >= config_.data_blocks) {
        co_return Error(Errc::corrupt, fmt::format("the journal of slab {} names block {} of {}",
                                                   slab.number(), entry.sbn, config_.data_blocks));
      }
      const JournalPoint here{s.value(), static_cast<std::uint16_t>(i)};
      if (here <= points[entry.sbn / kCountsPerSector]) continue;  // the counts know it already
      auto changed = Slab::change_count(counts, entry.sbn, entry.operation);
      if (!changed) {
        co_return std::move(changed).error().within(
            fmt::format("replaying block {} of the journal of slab {}", s.value(), slab.number()));
      }
    }
  }
  co_return Result<void>();
}

Task<Result<void>> SlabDepot::write_scrubbed(Slab& slab, const std::vector<ReferenceCount>& counts,
                                             JournalPoint point) {
  AlignedMemory memory(kReadChunkBlocks * kBlockSize);
  const std::uint64_t blocks = reference_blocks_used(config_.data_blocks);
  for (std::uint64_t first = 0; first < blocks; first += kReadChunkBlocks) {
    const std::size_t chunk = std::min<std::uint64_t>(kReadChunkBlocks, blocks - first);
    for (std::size_t i = 0; i < chunk; ++i) {
      const std::size_t at = (first + i) * kCountsPerBlock;
      const std::size_t n = std::min<std::size_t>(kCountsPerBlock, counts.size() - at);
      pack_reference_block(memory.block(i), std::span(counts).subspan(at, n), point);
    }
    auto done = co_await device_.write(device_byte(layout_.reference_block(slab.number(), first)),
                                       memory.bytes().first(chunk * kBlockSize));
    if (!done) co_return done;
    counters_.reference_blocks_written += chunk;
  }
  auto done = co_await device_.flush();
  if (!done) co_return done;
  slab.summary().load_reference_counts = true;
  slab.summary().dirty = false;
  slab.summary().fullness_hint = fullness_hint(
      static_cast<std::uint64_t>(std::count(counts.begin(), counts.end(), kFree)),
      layout_.slab_bits());
  std::vector<Slab*> one{&slab};
  co_return co_await write_summary(one);
}

}  // namespace uvdo
