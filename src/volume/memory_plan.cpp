// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/memory_plan.h"

#include "volume/pool_sizes.h"
#include "volume/volume.h"
#include "volume/write_job.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kLocksOfBlock = 256;  // of its logical place and of its name
constexpr std::uint64_t kFixed = 32ULL << 20U;

/// The lists of names take a little less than the gigabytes that the geometry tells; pages of
/// chapters and the chapters that are being filled come on top.
std::uint64_t index_bytes(IndexMemory memory) {
  constexpr std::uint64_t kGigabyte = 1ULL << 30U;
  constexpr std::uint64_t kAround = 8ULL << 20U;
  const std::uint64_t told =
      memory.value > 0
          ? static_cast<std::uint64_t>(memory.value) * kGigabyte
          : static_cast<std::uint64_t>(-std::int64_t{memory.value}) * (kGigabyte / 1024);
  return told / 8 * 7 + kAround;
}

std::uint64_t pool_bytes(const VolumeOptions& options) {
  return 3 * options.internal_buffer_bytes + parked_blocks(options) * kBlockSize +
         Packer::memory_needed(options.packer_fragments) + DataWriter::memory_needed() +
         options.write_jobs * sizeof(Volume::WriteJob) + blocks_at_once(options) * kLocksOfBlock +
         SavingsCounter::kMemoryBound + depot_pools(options).memory_needed();
}

}  // namespace

MemoryPlan plan_memory(const VolumeOptions& options, const VolumeGeometry& geometry,
                       const SuperBlock& super_block) {
  MemoryPlan plan;
  plan.block_map_cache = options.block_map_cache_pages * (kBlockSize + sizeof(MapPage));
  plan.block_map_tree = InteriorPages::memory_needed(super_block.config.logical_blocks);
  plan.reference_counts =
      SlabDepot::memory_needed(super_block.depot.slab, super_block.depot.slab_count());
  plan.index = index_bytes(geometry.index_memory);
  if (options.access != VolumeAccess::read_write) {
    // Nothing is written: neither is looked at.
    plan.reference_counts = plan.index = 0;
  }
  plan.buffers = options.buffer_bytes;
  plan.pools = pool_bytes(options);
  plan.other = kFixed;
  return plan;
}

}  // namespace uvdo
