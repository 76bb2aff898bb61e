// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/memory_plan.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kInteriorPage = 5120;  // with what belongs to it
constexpr std::uint64_t kFixed = 48ULL << 20U;

/// What the geometry calls gigabytes are the lists of names; pages of chapters and the chapters
/// that are being filled come on top.
std::uint64_t index_bytes(IndexMemory memory) {
  constexpr std::uint64_t kGigabyte = 1ULL << 30U;
  constexpr std::uint64_t kAround = 80ULL << 20U;
  if (memory.value > 0) return static_cast<std::uint64_t>(memory.value) * kGigabyte + kAround;
  return static_cast<std::uint64_t>(-std::int64_t{memory.value}) * (kGigabyte / 1024) + kAround;
}

}  // namespace

MemoryPlan plan_memory(const VolumeOptions& options, const VolumeGeometry& geometry,
                       const SuperBlock& super_block) {
  MemoryPlan plan;
  plan.block_map_cache = options.block_map_cache_pages * (kBlockSize + sizeof(MapPage));
  const std::uint64_t leaves = leaf_count(super_block.config.logical_blocks);
  constexpr std::uint64_t kLevels = 3;
  plan.block_map_tree = (leaves / (kEntriesPerPage - 1) + kLevels * kBlockMapRoots) * kInteriorPage;
  plan.reference_counts = super_block.depot.slab_count() * super_block.depot.slab.data_blocks;
  plan.index = index_bytes(geometry.index_memory);
  plan.buffers = options.buffer_bytes;
  plan.other = kFixed;
  return plan;
}

}  // namespace uvdo
