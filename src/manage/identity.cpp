// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/identity.h"

#include "async/uring_loop.h"
#include "base/aligned_memory.h"
#include "device/open_device.h"
#include "volume/volume_headers.h"

namespace uvdo {
namespace {

Task<void> write_uuid(UringLoop& loop, const std::string& path, const Uuid& uuid,
                      Result<void>& done) {
  auto device = open_device(loop, path, OpenMode::read_write);
  if (!device) {
    done = std::move(device).error();
    co_return;
  }
  auto headers = co_await read_volume_headers(**device);
  if (!headers) {
    done = std::move(headers).error();
    co_return;
  }
  // The geometry lies in the first sector: a power cut leaves the old one or the new one.
  VolumeGeometry geometry = headers->geometry;
  geometry.uuid = uuid;
  AlignedMemory block(kBlockSize);
  encode_volume_geometry(geometry, block.bytes());
  auto written = co_await (*device)->write(0, block.bytes(), Durability::fua);
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
