// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/journal_scan.h"

#include <fmt/core.h>

#include "format/journal_limits.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocksPerRead = 256;

/// The counters after a block: its own at its opening, changed by its entries.
void count_block(UsableJournal& usable, ConstBytes block, unsigned entries) {
  const JournalBlockHeader header = decode_journal_header(block);
  usable.logical_blocks_used = header.logical_blocks_used;
  usable.block_map_blocks = header.block_map_blocks;
  for (unsigned i = 0; i < entries; ++i) {
    const JournalEntry entry = journal_entry(block, i);
    if (entry.operation == JournalOperation::block_map_remapping) {
      ++usable.block_map_blocks;
    } else {
      usable.logical_blocks_used += entry.new_mapping.is_mapped() ? 1U : 0U;
      usable.logical_blocks_used -= entry.old_mapping.is_mapped() ? 1U : 0U;
    }
  }
}

}  // namespace

JournalRing journal_ring(const SuperBlock& super_block, const VolumeGeometry& geometry) {
  const Partition partition = super_block.find(PartitionId::recovery_journal);
  return {geometry.device_byte(partition.start), partition.blocks, super_block.nonce,
          super_block.recovery_count()};
}

JournalReader::JournalReader(Device& device, const JournalRing& ring)
    : device_(device),
      ring_(ring),
      chunk_(static_cast<std::size_t>(std::min(kBlocksPerRead, ring.size)) * kBlockSize) {}

Task<Result<ConstBytes>> JournalReader::block(JournalSequence sequence) {
  const std::uint64_t place = sequence.value() % ring_.size;
  if (place < first_ || place - first_ >= count_) {
    count_ = 0;
    const std::uint64_t count = std::min(chunk_.size() / kBlockSize, ring_.size - place);
    auto done = co_await device_.read(ring_.device_offset + place * kBlockSize,
                                      chunk_.bytes().first(count * kBlockSize));
    if (!done) co_return std::move(done).error().within("reading the recovery journal");
    first_ = place;
    count_ = count;
  }
  co_return ConstBytes(chunk_.block(place - first_));
}

bool JournalReader::is_block(ConstBytes bytes, JournalSequence sequence) const {
  const JournalBlockHeader header = decode_journal_header(bytes);
  return header.sequence == sequence && counts(header, ring_.nonce, ring_.recovery_count,
                                               ring_.size, sequence.value() % ring_.size);
}

Task<Result<JournalExtent>> find_journal_extent(Device& device, const JournalRing& ring,
                                                JournalSequence journal_start) {
  JournalExtent extent(journal_start);
  JournalReader reader(device, ring);
  for (std::uint64_t place = 0; place < ring.size; ++place) {
    auto block = co_await reader.block(JournalSequence{place});
    if (!block) co_return std::move(block).error();
    const JournalBlockHeader header = decode_journal_header(*block);
    if (counts(header, ring.nonce, ring.recovery_count, ring.size, place)) extent.add(header);
  }
  co_return extent;
}

Task<Result<UsableJournal>> find_usable_journal(Device& device, const JournalRing& ring,
                                                const SuperBlock& super_block) {
  auto extent = co_await find_journal_extent(device, ring, super_block.journal.journal_start);
  if (!extent) co_return std::move(extent).error();
  UsableJournal usable;
  usable.extent = *extent;
  usable.last = extent->highest_tail;
  usable.logical_blocks_used = super_block.journal.logical_blocks_used;
  usable.block_map_blocks = super_block.journal.block_map_blocks;
  if (!extent->found) co_return usable;
  const SlabLayout slabs(super_block.depot);
  const JournalSequence head = extent->head();
  const auto corrupt = [](std::string what) {
    return Error(Errc::corrupt, "the recovery journal is corrupted: " + std::move(what));
  };
  if (head == JournalSequence{0}) co_return corrupt("it has no head");
  JournalReader reader(device, ring);
  usable.last = head - 1;
  // The block before the head, if it is still there, has the counters if no later one is usable.
  auto before = co_await reader.block(usable.last);
  if (!before) co_return std::move(before).error();
  if (reader.is_block(*before, usable.last)) {
    const UsableEntries found = usable_journal_entries(*before, decode_journal_header(*before));
    if (found.whole) count_block(usable, *before, found.count);
  }
  for (JournalSequence sequence = head; sequence <= extent->highest_tail; ++sequence) {
    auto block = co_await reader.block(sequence);
    if (!block) co_return std::move(block).error();
    if (!reader.is_block(*block, sequence)) break;
    const JournalBlockHeader header = decode_journal_header(*block);
    if (header.type != kJournalType) {
      co_return Error(Errc::unsupported,
                      "the recovery journal is of an old form that cannot be replayed: shut the "
                      "volume down with the program that wrote it");
    }
    const UsableEntries found = usable_journal_entries(*block, header);
    for (unsigned i = 0; i < found.count; ++i) {
      if (is_applicable(journal_entry(*block, i), super_block, slabs)) continue;
      co_return corrupt(fmt::format("entry {} of block {} is not valid", i, sequence.value()));
    }
    usable.entries += found.count;
    usable.last = sequence;
    count_block(usable, *block, found.count);
    if (!found.whole) break;
  }
  // Heads only move over blocks that are stable. That the block at the head itself is missing can
  // be: it was being written.
  const JournalSequence last_head = std::max(extent->block_map_head, extent->slab_journal_head);
  if (last_head > usable.last + 1) {
    co_return corrupt(fmt::format(
        "its heads are at {} and {}, but it can be used only up to "
        "block {}",
        extent->block_map_head.value(), extent->slab_journal_head.value(), usable.last.value()));
  }
  co_return usable;
}

}  // namespace uvdo
