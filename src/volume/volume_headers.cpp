// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/volume_headers.h"

#include <fmt/core.h>

#include "base/aligned_memory.h"

namespace uvdo {
namespace {

Error cut_short(const Device& device, std::uint64_t needed) {
  return {Errc::corrupt,
          fmt::format("{} has {} bytes but the volume on it reaches to {} at least; it was cut "
                      "short, give it back its size",
                      device.name(), device.size(), needed)};
}

}  // namespace

Task<Result<VolumeHeaders>> read_volume_headers(Device& device) {
  AlignedMemory block(kBlockSize);
  if (device.size() < kBlockSize) {
    co_return Error(
        Errc::corrupt,
        fmt::format("{} is smaller than one block, so it holds no VDO volume", device.name()));
  }
  auto done = co_await device.read(0, block.bytes());
  if (!done) co_return std::move(done).error();
  auto geometry = decode_volume_geometry(block.bytes());
  if (!geometry) co_return std::move(geometry).error().within(device.name());
  const std::uint64_t super_block_at = geometry->device_byte(geometry->data_start);
  if (device.size() < super_block_at + kBlockSize) {
    co_return cut_short(device, super_block_at + kBlockSize);
  }
  done = co_await device.read(super_block_at, block.bytes());
  if (!done) co_return std::move(done).error();
  auto super_block = decode_super_block(block.bytes(), *geometry);
  if (!super_block) co_return std::move(super_block).error().within(device.name());
  const std::uint64_t end = geometry->device_byte(Pbn{super_block->config.physical_blocks});
  if (device.size() < end) co_return cut_short(device, end);
  co_return VolumeHeaders{*geometry, *super_block};
}

}  // namespace uvdo
