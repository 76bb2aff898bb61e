// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/growth.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/aligned_memory.h"
#include "base/size_text.h"
#include "format/slab_layout.h"
#include "format/slab_summary.h"
#include "format/volume_layout.h"
#include "volume/memory_plan.h"
#include "volume/super_block_store.h"

namespace uvdo {
namespace {

// 1 MiB.
constexpr std::uint64_t kCopiedAtOnce = 256;  // blocks

/// Whether the metadata of a volume in this state are at rest.
Result<void> check_state(VolumeState state) {
  switch (state) {
    case VolumeState::new_volume:
    case VolumeState::clean: return {};
    case VolumeState::read_only_mode:
      return Error(Errc::read_only,
                   "the volume is read-only after an error and cannot grow; make it writable again "
                   "with uvdo rebuild");
    case VolumeState::force_rebuild:
    case VolumeState::rebuild_for_upgrade:
      return Error(
          Errc::busy,
          "the volume is to be rebuilt at its next start; serve it once, and grow it then");
    case VolumeState::dirty:
    case VolumeState::replaying:
    case VolumeState::recovering: break;
  }
  return Error(Errc::busy,
               "the volume was not shut down and has to be recovered first; serve it, and grow it "
               "while it is in use or after it was stopped");
}

/// Copies the summary, and says of each new slab that it was never used.
Task<Result<void>> copy_summary(PbnDevice device, const SuperBlock& before,
                                const SuperBlock& grown) {
  const AlignedMemory all(kSlabSummaryBlocks * kBlockSize);
  const Pbn from = before.find(PartitionId::slab_summary).start;
  auto done = co_await device.read(from, all.bytes());
  if (!done) co_return done;
  const unsigned bits = SlabLayout(grown.depot).slab_bits();
  const SlabSummaryEntry unused{0, fullness_hint(grown.depot.slab.data_blocks, bits), false, false};
  for (unsigned zone = 0; zone < kSummaryZones; ++zone) {
    // Every zone's area, as nothing says here which of them counts for a new slab.
    for (SlabNumber n = before.depot.slab_count(); n < kMaxSlabs; ++n) {
      set_summary_entry(all.block(summary_block(zone, n)), n, unused);
    }
  }
  const Pbn to = grown.find(PartitionId::slab_summary).start;
  co_return co_await device.write(to, all.bytes());
}

/// The volume with `bytes` of its device.
Result<SuperBlock> grown_to(const VolumeHeaders& headers, std::uint64_t bytes) {
  const std::uint64_t blocks = bytes / kBlockSize + headers.geometry.bio_offset;
  if (blocks == headers.super_block.config.physical_blocks) return headers.super_block;
  return grown_layout(headers.geometry, headers.super_block, blocks);
}

/// The volume with all of its device, as far as there is room for whole slabs.
Result<SuperBlock> grown_to_most(const VolumeHeaders& headers, BackingStore& store) {
  auto size = store.look_up_size();
  if (!size) return std::move(size).error();
  const std::uint64_t blocks = std::min(*size / kBlockSize + headers.geometry.bio_offset,
                                        largest_physical_blocks(headers.super_block));
  auto grown = grown_layout(headers.geometry, headers.super_block, blocks);
  const bool is_cut_off = blocks < headers.super_block.config.physical_blocks;
  // No room for another slab is no error of who asks for all there is.
  return grown || is_cut_off ? std::move(grown) : headers.super_block;
}

Result<std::uint64_t> logical_blocks_of(std::uint64_t bytes) {
  if (bytes % kBlockSize == 0) return bytes / kBlockSize;
  return Error(
      Errc::invalid_argument,
      fmt::format("a logical size of {} bytes is not possible: use a multiple of 4096", bytes));
}

}  // namespace

Result<SuperBlock> grown_super_block(const VolumeHeaders& headers, BackingStore& store,
                                     const GrowthRequest& request) {
  Result<SuperBlock> grown = headers.super_block;
  if (request.physical_max) {
    grown = grown_to_most(headers, store);
  } else if (request.physical_bytes) {
    grown = grown_to(headers, *request.physical_bytes);
  }
  if (grown && request.logical_bytes) {
    auto blocks = logical_blocks_of(*request.logical_bytes);
    if (!blocks) return std::move(blocks).error();
    grown = grown_logical(*grown, *blocks);
  }
  return grown;
}

Task<Result<void>> copy_blocks(PbnDevice device, Pbn from, Pbn to, std::uint64_t count) {
  const AlignedMemory memory(std::min(count, kCopiedAtOnce) * kBlockSize);
  Result<void> done;
  while (done && count > 0) {
    const std::uint64_t part = std::min(count, kCopiedAtOnce);
    const MutableBytes bytes = memory.bytes().first(part * kBlockSize);
    done = co_await device.read(from, bytes);
    if (done) done = co_await device.write(to, bytes);
    from += part;
    to += part;
    count -= part;
  }
  co_return done;
}

Task<Result<SuperBlock>> grow_stopped_volume(BackingStore& store, const VolumeHeaders& headers,
                                             const GrowthRequest& request,
                                             const MachineMemory& available) {
  const VolumeGeometry& geometry = headers.geometry;
  const SuperBlock& before = headers.super_block;
  const PbnDevice blocks(store, geometry.bio_offset);
  auto done = check_state(before.state);
  if (!done) co_return std::move(done).error();
  auto grown = grown_super_block(headers, store, request);
  if (!grown || *grown == before) co_return grown;
  done = check_growth_memory(geometry, before, *grown, available);
  if (!done) co_return std::move(done).error();
  if (grown->config.physical_blocks > before.config.physical_blocks) {
    // The new places lie wholly behind the old end (behaviour.md, 12), so the old volume stays
    // whole.
    done = co_await store.extend(volume_end(geometry, *grown));
    if (done) done = co_await store.will_leave_unused(unused_byte(geometry, *grown));
    if (!done) co_return std::move(done).error();
    const Partition journal = before.find(PartitionId::recovery_journal);
    done = co_await copy_blocks(blocks, journal.start,
                                grown->find(PartitionId::recovery_journal).start, journal.blocks);
    if (done) done = co_await copy_summary(blocks, before, *grown);
    if (!done) co_return std::move(done).error();
  }
  // The one step that makes it grown; its flush makes the copies stable before.
  done = co_await write_super_block(blocks, geometry.data_start, *grown);
  if (!done) co_return std::move(done).error();
  co_return grown;
}

}  // namespace uvdo
