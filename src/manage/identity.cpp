// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/identity.h"

#include "async/uring_loop.h"
#include "base/aligned_memory.h"
#include "manage/open_stopped.h"

namespace uvdo {
namespace {

Task<void> write_uuid(UringLoop& loop, const std::string& path, const Uuid& uuid,
                      Result<void>& done) {
  auto opened = co_await open_stopped(loop, path, OpenMode::read_write);
  if (!opened) {
    done = std::move(opened).error();
    co_return;
  }
  auto& [device, headers] = *opened;
  // The geometry lies in the first sector: a power cut leaves the old one or the new one.
  VolumeGeometry geometry = headers.geometry;
  geometry.uuid = uuid;
  AlignedMemory block(kBlockSize);
  encode_volume_geometry(geometry, block.bytes());
  auto written = co_await device->write(0, block.bytes(), Durability::fua);
  done = std::move(written);
}

}  // namespace

Result<void> set_volume_uuid(const std::string& path, const Uuid& uuid) {
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<void> done;
  (*loop)->run(write_uuid(**loop, path, uuid, done));
  return within("changing the UUID", std::move(done));
}

}  // namespace uvdo
