// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/format_volume.h"

#include <algorithm>

#include "base/aligned_memory.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kZeroChunk = 256;  // blocks

Task<Result<void>> write_zeros(Device& device, const VolumeGeometry& geometry, Pbn first,
                               std::uint64_t blocks) {
  const AlignedMemory zeros(std::min(blocks, kZeroChunk) * kBlockSize);
  while (blocks > 0) {
    const std::uint64_t count = std::min(blocks, kZeroChunk);
    auto done =
        co_await device.write(geometry.device_byte(first), zeros.bytes().first(count * kBlockSize));
    if (!done) co_return done;
    first += count;
    blocks -= count;
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> format_volume(Device& device, const VolumeLayout& layout) {
  const VolumeGeometry& geometry = layout.geometry;
  const Partition roots = layout.super_block.find(PartitionId::block_map);
  const Partition journal = layout.super_block.find(PartitionId::recovery_journal);
  // An old index first, then the old volume, so that nothing finds the one without the other.
  auto done = co_await write_zeros(device, geometry, Pbn{1}, 1);
  if (done) done = co_await write_zeros(device, geometry, Pbn{0}, 1);
  if (done) done = co_await device.flush();
  if (done) done = co_await write_zeros(device, geometry, roots.start, roots.blocks);
  if (done) done = co_await write_zeros(device, geometry, journal.start, journal.blocks);
  if (!done) co_return done;
  const AlignedMemory block(kBlockSize);
  encode_super_block(layout.super_block, block.bytes());
  done = co_await device.write(geometry.device_byte(geometry.data_start), block.bytes());
  if (done) done = co_await device.flush();
  if (!done) co_return done;
  encode_volume_geometry(geometry, block.bytes());
  done = co_await device.write(0, block.bytes(), Durability::fua);
  if (done) done = co_await device.flush();
  co_return done;
}

}  // namespace uvdo
