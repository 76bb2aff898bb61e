// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/memory_plan.h"

#include <fmt/core.h>

#include "base/size_text.h"
#include "volume/pool_sizes.h"
#include "volume/volume.h"
#include "volume/write_job.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kLocksOfBlock = 256;  // of its logical place and of its name
// The program, what belongs to requests, rings.
constexpr std::uint64_t kFixed = 32ULL << 20U;
/// Connections, their requests and the control socket, as uvdo serve has them if nothing else is
/// said.
constexpr std::uint64_t kUsualServer = 48ULL << 20U;

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
  // The pools of VolumeBuffers but for the clients', then the other parts in turn.
  return 3 * options.internal_buffer_bytes + options.internal_buffer_bytes / 4 +
         parked_blocks(options) * kBlockSize + Packer::memory_needed(options.packer_fragments) +
         DataWriter::memory_needed() + options.write_jobs * sizeof(WriteJob) +
         blocks_at_once(options) * kLocksOfBlock + SavingsCounter::kMemoryBound +
         depot_pools(options).memory_needed();
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

Result<void> check_memory(const MemoryPlan& plan, std::uint64_t server,
                          const MachineMemory& available, std::string_view remedy) {
  const std::uint64_t needed = plan.total() + server;
  if (needed <= available.bytes) return {};
  return Error(
      Errc::no_memory,
      fmt::format("the volume needs up to {} of memory ({} for the block map, {} for data in "
                  "flight, {} for the index, {} for reference counts, {} for the rest), but {} is "
                  "{}{}{}",
                  size_text(needed), size_text(plan.block_map_cache + plan.block_map_tree),
                  size_text(plan.buffers), size_text(plan.index), size_text(plan.reference_counts),
                  size_text(plan.pools + plan.other + server), available.limit,
                  size_text(available.bytes), remedy.empty() ? "" : "; ", remedy));
}

MemoryPlan plan_serving(PlannedSettings settings, const VolumeGeometry& geometry,
                        const SuperBlock& super_block) {
  VolumeOptions options;
  if (settings == PlannedSettings::least) {
    options.block_map_cache_pages = kLeastCacheBytes / kBlockSize;
    options.buffer_bytes = kLeastBufferBytes;
  }
  MemoryPlan plan = plan_memory(options, geometry, super_block);
  plan.other += kUsualServer;
  return plan;
}

Result<void> check_growth_memory(const VolumeGeometry& geometry, const SuperBlock& before,
                                 const SuperBlock& grown, const MachineMemory& available) {
  // A volume that is served with the least settings today need not fit with the usual ones
  // tomorrow.
  const bool is_tight =
      plan_serving(PlannedSettings::usual, geometry, before).total() > available.bytes;
  const PlannedSettings settings = is_tight ? PlannedSettings::least : PlannedSettings::usual;
  auto fits = check_memory(plan_serving(settings, geometry, grown), 0, available,
                           "give smaller sizes, or grow it where there is more");
  if (!fits) return std::move(fits).error().within("after this growth it could not be served here");
  return fits;
}

}  // namespace uvdo
