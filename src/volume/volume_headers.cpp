// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/volume_headers.h"

#include <fmt/core.h>

#include "base/aligned_memory.h"
#include "device/pbn_device.h"

namespace uvdo {
namespace {

Error cut_short(const BackingStore& store, std::uint64_t needed) {
  return {Errc::corrupt,
          fmt::format("{} has {} bytes but the volume on it reaches to {} at least; it was cut "
                      "short, give it back its size",
                      store.name(), store.size(), needed)};
}

}  // namespace

Task<Result<VolumeHeaders>> read_volume_headers(BackingStore& store) {
  AlignedMemory block(kBlockSize);
  if (store.size() < kBlockSize) {
    co_return Error(
        Errc::corrupt,
        fmt::format("{} is smaller than one block, so it holds no VDO volume", store.name()));
  }
  auto done = co_await store.read(0, block.bytes());
  if (!done) co_return std::move(done).error();
  auto geometry = decode_volume_geometry(block.bytes());
  if (!geometry) co_return std::move(geometry).error().within(store.name());
  const PbnDevice blocks(store, geometry->bio_offset);
  const std::uint64_t super_block_end = blocks.byte_of(geometry->data_start + 1);
  if (store.size() < super_block_end) co_return cut_short(store, super_block_end);
  done = co_await blocks.read(geometry->data_start, block.bytes());
  if (!done) co_return std::move(done).error();
  auto super_block = decode_super_block(block.bytes(), *geometry);
  if (!super_block) co_return std::move(super_block).error().within(store.name());
  // Its own size is believed only if all of it is there: a truncated file is found here and not
  // later.
  const std::uint64_t end = volume_end(*geometry, *super_block);
  if (store.size() < end) co_return cut_short(store, end);
  co_return VolumeHeaders{*geometry, *super_block};
}

}  // namespace uvdo
