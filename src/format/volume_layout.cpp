// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic of formatting and of growth.
#include "format/volume_layout.h"

#include <algorithm>
#include <string>

#include <fmt/core.h>

#include "base/size_text.h"
#include "format/block_map_tree.h"
#include "format/index_geometry.h"

namespace uvdo {
namespace {

/// Slab sizes below 2^8 leave no room for data.
constexpr unsigned kLeastSlabBits = 8;

/// What lies behind the slabs, at the end of the volume.
constexpr std::uint64_t kTailBlocks = kRecoveryJournalBlocks + kSlabSummaryBlocks;

template <class... Args>
Error invalid(fmt::format_string<Args...> text, Args&&... args) {
  return {Errc::invalid_argument, fmt::format(text, std::forward<Args>(args)...)};
}

/// Exact: people type them again.
std::string blocks_text(std::uint64_t blocks) { return exact_size_text(blocks * kBlockSize); }

/// Lays the partitions out between the super block and the end of the volume, and the slabs in
/// the depot; the order of the table and all else of `s` stay. Needs room for one slab.
void place_partitions(SuperBlock& s, Pbn data_start) {
  const Pbn end{s.config.physical_blocks};
  const Pbn map = data_start + 1;
  const Pbn depot = map + kBlockMapRoots;
  const Pbn summary = end - kSlabSummaryBlocks;
  const Pbn journal = summary - s.config.journal_size;
  for (Partition& partition : s.layout.partitions) {
    switch (partition.id) {
      case PartitionId::block_map: partition = {partition.id, map, kBlockMapRoots}; break;
      case PartitionId::slab_depot: partition = {partition.id, depot, journal - depot}; break;
      case PartitionId::recovery_journal:
        partition = {partition.id, journal, s.config.journal_size};
        break;
      case PartitionId::slab_summary:
        partition = {partition.id, summary, kSlabSummaryBlocks};
        break;
    }
  }
  s.layout.first_free = journal;
  s.layout.last_free = journal;
  s.depot.first_block = depot;
  s.depot.last_block = depot + (journal - depot) / s.config.slab_size * s.config.slab_size;
  s.block_map.root_origin = map;
}

Result<void> check_slab_bits(unsigned slab_bits, bool small_slabs) {
  const unsigned least = small_slabs ? kLeastSlabBits : kMinSlabBits;
  if (slab_bits >= least && slab_bits <= kMaxSlabBits) return {};
  return invalid("slabs of 2^{} blocks are not possible: use {} to {} slab bits", slab_bits, least,
                 kMaxSlabBits);
}

Result<std::uint64_t> logical_blocks_of(const FormatRequest& request, std::uint64_t data_blocks) {
  // As much as surely finds room, the map's own pages included (behaviour.md, 2).
  if (!request.logical_bytes) {
    const std::uint64_t blocks = default_logical_blocks(data_blocks);
    if (blocks == 0) {
      return invalid("slabs of {} hold nothing besides the block map: give a logical size",
                     blocks_text(data_blocks));
    }
    return blocks;
  }
  const std::uint64_t bytes = *request.logical_bytes;
  if (bytes == 0 || bytes % kBlockSize != 0) {
    return invalid("a logical size of {} bytes is not possible: use a multiple of 4096", bytes);
  }
  if (bytes / kBlockSize > kMaxLogicalBlocks) {
    return invalid("a logical size of {} is too large: use at most {}",
                   blocks_text(bytes / kBlockSize), blocks_text(kMaxLogicalBlocks));
  }
  return bytes / kBlockSize;
}

}  // namespace

Result<std::uint64_t> minimum_physical_blocks(unsigned slab_bits, IndexMemory memory, bool sparse) {
  if (auto ok = check_slab_bits(slab_bits, true); !ok) return std::move(ok).error();
  auto index = compute_index_geometry(memory, sparse);
  if (!index) return std::move(index).error();
  // Geometry and super block, the index, the roots, one slab, journal and summary.
  return 2 + index->region_blocks + kBlockMapRoots + (1ULL << slab_bits) + kTailBlocks;
}

Result<VolumeLayout> make_volume_layout(const FormatRequest& request) {
  if (auto ok = check_slab_bits(request.slab_bits, request.small_slabs); !ok) {
    return std::move(ok).error();
  }
  const std::uint64_t physical = request.device_bytes / kBlockSize;
  auto least = minimum_physical_blocks(request.slab_bits, request.index_memory, request.sparse);
  if (!least) return std::move(least).error();
  if (physical < *least) {
    return Error(Errc::no_space,
                 fmt::format("the device of {} is too small: a volume with this index and slabs of "
                             "{} needs at least {} ({} bytes)",
                             blocks_text(physical), blocks_text(1ULL << request.slab_bits),
                             blocks_text(*least), *least * kBlockSize));
  }
  if (physical > kMaxPhysicalBlocks) {
    return invalid("the device of {} is too large: a volume has at most {}", blocks_text(physical),
                   blocks_text(kMaxPhysicalBlocks));
  }
  auto slab = make_slab_config(1ULL << request.slab_bits);
  if (!slab) return std::move(slab).error();

  VolumeLayout layout;
  VolumeGeometry& geometry = layout.geometry;
  geometry.nonce = request.nonce;
  geometry.uuid = request.uuid;
  geometry.index_memory = request.index_memory;
  geometry.sparse = request.sparse;
  const std::uint64_t rest = kBlockMapRoots + (1ULL << request.slab_bits) + kTailBlocks;
  // Behind the geometry block and the index.
  geometry.data_start = Pbn{*least - rest - 1};

  SuperBlock& s = layout.super_block;
  s.nonce = request.nonce;
  s.config.physical_blocks = physical;
  s.config.slab_size = slab->slab_blocks;
  s.depot.slab = *slab;
  // The order in which the kernel's own tools write the table.
  s.layout.partitions[0].id = PartitionId::slab_depot;
  s.layout.partitions[1].id = PartitionId::recovery_journal;
  s.layout.partitions[2].id = PartitionId::slab_summary;
  s.layout.partitions[3].id = PartitionId::block_map;
  place_partitions(s, geometry.data_start);
  const std::uint64_t slabs = (s.depot.last_block - s.depot.first_block) / slab->slab_blocks;
  if (slabs > kMaxSlabs) {
    return invalid(
        "the device of {} has room for {} slabs of {}, but a volume has at most {}: use "
        "more slab bits",
        blocks_text(physical), slabs, blocks_text(slab->slab_blocks), kMaxSlabs);
  }
  auto logical = logical_blocks_of(request, slabs * slab->data_blocks);
  if (!logical) return std::move(logical).error();
  s.config.logical_blocks = *logical;
  check(validate_super_block(s, geometry).ok(), "a new layout is valid");
  return layout;
}

std::uint64_t largest_physical_blocks(const SuperBlock& current) {
  // Blocks behind the last slab that make no slab of their own can belong to the volume too.
  const std::uint64_t slab = current.config.slab_size;
  const std::uint64_t most = current.depot.first_block.value() + kMaxSlabs * slab + slab - 1 +
                             current.config.journal_size + kSlabSummaryBlocks;
  return std::min(most, kMaxPhysicalBlocks);
}

Result<SuperBlock> shortened_layout(const VolumeGeometry& geometry, const SuperBlock& current,
                                    std::uint64_t blocks) {
  SuperBlock shorter = current;
  place_partitions(shorter, geometry.data_start);
  if (shorter != current) return invalid("its partitions do not lie as vdoformat places them");
  const Partition depot = current.find(PartitionId::slab_depot);
  const std::uint64_t unused = depot.end() - current.depot.last_block;
  if (unused < blocks) {
    return invalid("behind its last slab it has {} that belong to no slab, and {} are needed",
                   blocks_text(unused), blocks_text(blocks));
  }
  shorter.config.physical_blocks -= blocks;
  place_partitions(shorter, geometry.data_start);
  return shorter;
}

Result<SuperBlock> grown_layout(const VolumeGeometry& geometry, const SuperBlock& current,
                                std::uint64_t physical_blocks) {
  const std::uint64_t before = current.config.physical_blocks;
  if (physical_blocks < before) {
    return invalid("the volume has a physical size of {} and cannot shrink to {}",
                   blocks_text(before), blocks_text(physical_blocks));
  }
  if (physical_blocks > kMaxPhysicalBlocks) {
    return invalid("a physical size of {} is too large: use at most {}",
                   blocks_text(physical_blocks), blocks_text(kMaxPhysicalBlocks));
  }
  // The old and the new places of journal and summary must not overlap: a crash while they are
  // copied must leave the old ones whole.
  const std::uint64_t least = before + current.config.journal_size + kSlabSummaryBlocks;
  SuperBlock grown = current;
  grown.config.physical_blocks = physical_blocks;
  // With less the old places stay, and the number of slabs, which is refused below.
  if (physical_blocks >= least) place_partitions(grown, geometry.data_start);
  const std::uint64_t slabs =
      (grown.depot.last_block - grown.depot.first_block) / grown.depot.slab.slab_blocks;
  if (slabs > kMaxSlabs) {
    return invalid("{} would make {} slabs of {}, but a volume has at most {}: use at most {}",
                   blocks_text(physical_blocks), slabs, blocks_text(grown.depot.slab.slab_blocks),
                   kMaxSlabs, blocks_text(largest_physical_blocks(current)));
  }
  if (slabs <= current.depot.slab_count()) {
    if (current.depot.slab_count() == kMaxSlabs) {
      return invalid("the volume has {} slabs already, and no volume has more", kMaxSlabs);
    }
    const std::uint64_t one_more = current.depot.last_block.value() + current.config.slab_size +
                                   current.config.journal_size + kSlabSummaryBlocks;
    const std::uint64_t enough = std::max(least, one_more);
    return invalid(
        "growing from {} to {} is too little for one more slab of {} and the journal's new place: "
        "give at least {} ({} bytes)",
        blocks_text(before), blocks_text(physical_blocks), blocks_text(current.config.slab_size),
        blocks_text(enough), enough * kBlockSize);
  }
  return grown;
}

Result<SuperBlock> grown_logical(const SuperBlock& current, std::uint64_t logical_blocks) {
  if (logical_blocks < current.config.logical_blocks) {
    return invalid("the volume has a logical size of {} and cannot shrink to {}",
                   blocks_text(current.config.logical_blocks), blocks_text(logical_blocks));
  }
  if (logical_blocks > kMaxLogicalBlocks) {
    return invalid("a logical size of {} is too large: use at most {}", blocks_text(logical_blocks),
                   blocks_text(kMaxLogicalBlocks));
  }
  SuperBlock grown = current;
  grown.config.logical_blocks = logical_blocks;
  return grown;
}

}  // namespace uvdo
