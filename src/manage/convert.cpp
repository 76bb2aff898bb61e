// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/convert.h"

#include <fmt/core.h>

#include "async/uring_loop.h"
#include "base/aligned_memory.h"
#include "format/reduced_index_memory.h"
#include "manage/open_stopped.h"

namespace uvdo {
namespace {

/// The geometry of the converted volume. Blocks keep their numbers: what is on its device at byte
/// 0 then is block `bio_offset`.
Result<VolumeGeometry> converted(const VolumeGeometry& old) {
  auto memory = reduced(old.index_memory);
  if (!memory || old.bio_offset != 0) {
    return Error(Errc::invalid_argument, "it was converted before");
  }
  VolumeGeometry geometry = old;
  geometry.major_version = 5;  // the first that has a bio offset
  geometry.bio_offset = kConvertedStart / kBlockSize;
  geometry.index_start = Pbn{geometry.bio_offset + 1};
  geometry.index_memory = *memory;
  return geometry;
}

Task<Result<void>> shift(BackingStore& device, const VolumeHeaders& headers) {
  if (headers.super_block.state != VolumeState::clean &&
      headers.super_block.state != VolumeState::new_volume) {
    co_return Error(Errc::busy, fmt::format("{} was not stopped cleanly: start and stop it once",
                                            device.name()));
  }
  auto geometry = converted(headers.geometry);
  if (!geometry) co_return std::move(geometry).error().within(device.name());
  AlignedMemory block(kBlockSize);
  // The old volume's index reads what is written here as a damaged page, and nothing else does.
  encode_volume_geometry(*geometry, block.bytes());
  auto done = co_await device.write(kConvertedStart, block.bytes(), Durability::fua);
  if (!done) co_return done;
  // An index of old pages is none: the first start makes a new one.
  std::ranges::fill(block.bytes(), std::byte{0});
  done = co_await device.write(kConvertedStart + kBlockSize, block.bytes(), Durability::fua);
  if (!done) co_return done;
  // With this there is no volume any more at the device's start.
  co_return co_await device.write(0, block.bytes(), Durability::fua);
}

Task<void> shift_volume(UringLoop& loop, const std::string& path, Result<void>& done) {
  auto opened = co_await open_stopped(loop, path, OpenMode::read_write);
  if (!opened) {
    done = std::move(opened).error();
    co_return;
  }
  auto shifted = co_await shift(*opened->device, opened->headers);
  done = std::move(shifted);
}

}  // namespace

Result<void> convert_for_lvm(const std::string& path) {
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<void> done;
  (*loop)->run(shift_volume(**loop, path, done));
  return done;
}

}  // namespace uvdo
