// SPDX-License-Identifier: GPL-2.0-or-later
// Two passes over the ring of the recovery journal: one to find its extent, one for its entries.
#include "inspect/journal_replay.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "format/journal_extent.h"
#include "format/journal_limits.h"
#include "inspect/volume_image.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocksPerRead = 256;
constexpr std::size_t kDamageKept = 20;

void add_damage(JournalReplay& replay, std::string text) {
  if (replay.damage.size() < kDamageKept) replay.damage.push_back(std::move(text));
}

/// Finds heads and highest tail (9.1).
Result<void> find_extent(const VolumeImage& image, JournalReplay& replay) {
  JournalExtent extent(image.super_block().journal.journal_start);
  auto done = for_each_journal_block(image, [&](std::uint64_t, const JournalBlockHeader& header,
                                                ConstBytes) { extent.add(header); });
  replay.found = extent.found;
  replay.block_map_head = extent.block_map_head;
  replay.slab_journal_head = extent.slab_journal_head;
  replay.highest_tail = extent.highest_tail;
  return done;
}

void add_entry(const VolumeImage& image, JournalReplay& replay, JournalSequence sequence,
               unsigned index, const JournalEntry& entry) {
  ++replay.entries;
  const SlabLayout& slabs = image.slabs();
  if (!is_applicable(entry, image.super_block(), slabs)) {
    ++replay.invalid_entries;
    add_damage(replay,
               fmt::format("entry {} of block {} is not valid: operation {}, page {} slot {}, "
                           "from {} (state {}) to {} (state {})",
                           index, sequence.value(), static_cast<unsigned>(entry.operation),
                           entry.page_pbn.value(), entry.slot, entry.old_mapping.pbn.value(),
                           entry.old_mapping.state, entry.new_mapping.pbn.value(),
                           entry.new_mapping.state));
    return;
  }
  if (sequence >= replay.block_map_head) {
    replay.page_changes.emplace_back(entry.page_pbn, entry.slot, entry.new_mapping);
  }
  if (sequence < replay.slab_journal_head) return;
  const JournalPoint point{sequence.value(), static_cast<std::uint16_t>(index)};
  const bool is_map = entry.operation == JournalOperation::block_map_remapping;
  if (const Pbn pbn = entry.new_mapping.pbn; pbn != kZeroPbn) {
    replay.count_changes.emplace_back(
        point.expanded_increment(), slabs.slab_of(pbn), slabs.sbn_of(pbn),
        is_map ? CountChange::Kind::map_increment : CountChange::Kind::increment);
  }
  if (const Pbn pbn = entry.old_mapping.pbn; pbn != kZeroPbn) {
    replay.count_changes.emplace_back(point.expanded_decrement(), slabs.slab_of(pbn),
                                      slabs.sbn_of(pbn), CountChange::Kind::decrement);
  }
}

/// The counters after the last usable block: its own at its opening, changed by its entries.
void count_block(JournalReplay& replay, const VolumeImage& image, const JournalBlockHeader& header,
                 ConstBytes block, unsigned usable) {
  replay.logical_blocks_used = header.logical_blocks_used;
  replay.block_map_blocks = header.block_map_blocks;
  for (unsigned i = 0; i < usable; ++i) {
    const JournalEntry entry = journal_entry(block, i);
    if (!is_applicable(entry, image.super_block(), image.slabs())) continue;
    if (entry.operation == JournalOperation::block_map_remapping) {
      ++replay.block_map_blocks;
    } else {
      replay.logical_blocks_used += entry.new_mapping.is_mapped() ? 1 : 0;
      replay.logical_blocks_used -= entry.old_mapping.is_mapped() ? 1 : 0;
    }
  }
}

/// Goes through the entries up to the first damage (9.2).
Result<void> read_entries(const VolumeImage& image, JournalReplay& replay) {
  const SuperBlock& super = image.super_block();
  const Pbn origin = super.find(PartitionId::recovery_journal).start;
  const std::uint64_t size = super.config.journal_size;
  std::array<std::byte, kBlockSize> block;
  bool any = false;
  JournalSequence sequence = std::min(replay.block_map_head, replay.slab_journal_head);
  for (; sequence <= replay.highest_tail; ++sequence) {
    const std::uint64_t index = sequence.value() % size;
    if (auto ok = image.read_blocks(origin + index, block); !ok) return ok;
    const JournalBlockHeader header = decode_journal_header(block);
    if (!counts(header, super.nonce, super.recovery_count(), size, index) ||
        header.sequence != sequence) {
      break;
    }
    if (header.type != kJournalType) {
      return Error(
          Errc::unsupported,
          "the recovery journal is of an old form that cannot be replayed: shut the volume "
          "down with the program that wrote it, or look at it without replay (--raw)");
    }
    const UsableEntries usable = usable_journal_entries(block, header);
    for (unsigned i = 0; i < usable.count; ++i) {
      add_entry(image, replay, sequence, i, journal_entry(block, i));
    }
    if (usable.count > 0) {
      any = true;
      replay.last_usable = sequence;
      count_block(replay, image, header, block, usable.count);
    }
    if (!usable.whole) break;
  }
  const JournalSequence last_head = std::max(replay.block_map_head, replay.slab_journal_head);
  if (any && last_head > replay.last_usable) {
    add_damage(replay, fmt::format("its heads {} and {} are after the last usable block {}",
                                   replay.block_map_head.value(), replay.slab_journal_head.value(),
                                   replay.last_usable.value()));
  }
  return {};
}

void sort_changes(JournalReplay& replay) {
  sort_page_changes(replay.page_changes);
  std::ranges::stable_sort(replay.count_changes, {}, &CountChange::slab);
}

}  // namespace

Result<void> for_each_journal_block(const VolumeImage& image, const JournalBlockVisitor& f) {
  const SuperBlock& super = image.super_block();
  const Pbn origin = super.find(PartitionId::recovery_journal).start;
  const std::uint64_t size = super.config.journal_size;
  std::vector<std::byte> buffer(std::min(kBlocksPerRead, size) * kBlockSize);
  for (std::uint64_t place = 0; place < size;) {
    // A hole reads as zeros, which never count.
    place += image.hole_blocks(origin + place, size - place);
    const std::uint64_t n = std::min(buffer.size() / kBlockSize, size - place);
    if (n == 0) break;
    const MutableBytes chunk = MutableBytes(buffer).first(n * kBlockSize);
    if (auto ok = image.read_blocks(origin + place, chunk); !ok) return ok;
    for (std::uint64_t i = 0; i < n; ++i) {
      const ConstBytes block = chunk.subspan(i * kBlockSize, kBlockSize);
      const JournalBlockHeader header = decode_journal_header(block);
      if (counts(header, super.nonce, super.recovery_count(), size, place + i)) {
        f(place + i, header, block);
      }
    }
    place += n;
  }
  return {};
}

Result<JournalOverview> survey_journal(const VolumeImage& image) {
  JournalOverview result;
  const JournalSequence start = image.super_block().journal.journal_start;
  auto ok = for_each_journal_block(
      image, [&](std::uint64_t, const JournalBlockHeader& header, ConstBytes) {
        ++result.blocks;
        if (header.sequence < start) return;
        if (result.current_blocks++ == 0) {
          result.first_current = result.last_current = header.sequence;
        }
        result.first_current = std::min(result.first_current, header.sequence);
        result.last_current = std::max(result.last_current, header.sequence);
      });
  if (!ok) return std::move(ok).error();
  return result;
}

// Not equal_range of <ranges>: Clang 14 cannot take libstdc++'s subrange apart.
std::span<const PageChange> JournalReplay::changes_of(Pbn page) const {
  const auto first = std::ranges::lower_bound(page_changes, page, {}, &PageChange::page);
  const auto last = std::ranges::upper_bound(page_changes, page, {}, &PageChange::page);
  return {first, last};
}

std::span<const CountChange> JournalReplay::changes_of_slab(SlabNumber slab) const {
  const auto first = std::ranges::lower_bound(count_changes, slab, {}, &CountChange::slab);
  const auto last = std::ranges::upper_bound(count_changes, slab, {}, &CountChange::slab);
  return {first, last};
}

Result<JournalReplay> replay_journal(const VolumeImage& image) {
  JournalReplay replay;
  replay.logical_blocks_used = image.super_block().journal.logical_blocks_used;
  replay.block_map_blocks = image.super_block().journal.block_map_blocks;
  if (auto ok = find_extent(image, replay); !ok) return std::move(ok).error();
  if (!replay.found) return replay;
  if (auto ok = read_entries(image, replay); !ok) return std::move(ok).error();
  sort_changes(replay);
  return replay;
}

}  // namespace uvdo
