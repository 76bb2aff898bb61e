// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/convert.h"

#include <fmt/core.h>

#include "async/uring_loop.h"
#include "base/aligned_memory.h"
#include "format/reduced_index_memory.h"
#include "format/volume_layout.h"
#include "index/uds_index.h"
#include "lease/open_owned.h"
#include "manage/open_stopped.h"
#include "volume/growth.h"
#include "volume/super_block_store.h"
#include "volume/uds_index_factory.h"

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

/// Has the volume be no larger than LVM's volume behind the first kConvertedStart bytes, which is
/// one of whole extents of as many bytes. What is given up no slab uses. The old journal is written
/// over there: that of a volume which was stopped cleanly is not read, and where its blocks lie
/// from now on their numbers are wrong.
Task<Result<void>> shorten(BackingStore& device, const VolumeHeaders& headers) {
  const SuperBlock& before = headers.super_block;
  auto bytes = device.look_up_size();
  if (!bytes) co_return std::move(bytes).error();
  const std::uint64_t most = (*bytes / kConvertedStart - 1) * (kConvertedStart / kBlockSize);
  if (before.config.physical_blocks <= most) co_return Result<void>();
  auto shorter = shortened_layout(headers.geometry, before, before.config.physical_blocks - most);
  if (!shorter) co_return std::move(shorter).error().within(device.name());
  const PbnDevice blocks(device, headers.geometry.bio_offset);
  auto done =
      co_await copy_blocks(blocks, before.find(PartitionId::slab_summary).start,
                           shorter->find(PartitionId::slab_summary).start, kSlabSummaryBlocks);
  if (!done) co_return done;
  co_return co_await write_super_block(blocks, headers.geometry.data_start, *shorter);
}

/// What LVM lays over the device: it begins kConvertedStart bytes later.
class LaterDevice final : public Device {
 public:
  explicit LaterDevice(Device& device) : device_(device) {}
  void submit(Request& request) override {
    request.offset += kConvertedStart;
    device_.submit(request);
  }
  [[nodiscard]] const std::string& name() const override { return device_.name(); }

 private:
  Device& device_;
};

/// Makes an empty index where the converted volume has it: the kernel makes none by itself in a
/// volume that is not new.
Task<Result<void>> make_index(UringLoop& loop, BackingStore& device,
                              const VolumeGeometry& geometry) {
  LaterDevice later(device);
  std::string why;
  auto index = UdsIndex::start(loop, later, uds_parameters(geometry, true),
                               [&](const LogLine& line) { why = line.text; });
  if (!index) co_return std::move(index).error();
  co_await (*index)->wait_opened();
  if ((*index)->state() != IndexState::online) {
    co_await (*index)->close();
    co_return Error(Errc::io, why);
  }
  Result<void> saved = co_await (*index)->save();
  co_return saved;
}

Task<Result<void>> shift(UringLoop& loop, BackingStore& device, const VolumeHeaders& headers) {
  if (headers.super_block.state != VolumeState::clean &&
      headers.super_block.state != VolumeState::new_volume) {
    co_return Error(Errc::busy, fmt::format("{} was not stopped cleanly: start and stop it once",
                                            device.name()));
  }
  auto geometry = converted(headers.geometry);
  if (!geometry) co_return std::move(geometry).error().within(device.name());
  auto shortened = co_await shorten(device, headers);
  if (!shortened) co_return shortened;
  // From here on the old volume, whose index begins behind its first block, has none until its
  // next start makes one.
  const AlignedMemory empty(kBlockSize);
  auto done = co_await device.write(kBlockSize, empty.bytes(), Durability::fua);
  if (!done) co_return done;
  done = co_await make_index(loop, device, *geometry);
  if (!done) co_return std::move(done).error().within("making the index anew");
  const AlignedMemory block(kBlockSize);
  encode_volume_geometry(*geometry, block.bytes());
  done = co_await device.write(kConvertedStart, block.bytes(), Durability::fua);
  if (!done) co_return done;
  // With this there is no volume any more at the device's start.
  co_return co_await device.write(0, empty.bytes(), Durability::fua);
}

Task<void> shift_volume(UringLoop& loop, const std::string& path, Result<void>& done) {
  auto opened = co_await open_stopped(loop, path, OpenMode::read_write);
  if (!opened) {
    done = std::move(opened).error();
    co_return;
  }
  auto looking = has_owner_record(*opened->device);
  auto has_record = co_await std::move(looking);
  if (!has_record || *has_record) {
    done = has_record
               ? Error(Errc::busy, fmt::format("{} has a record of its owner, which would be "
                                               "written over; end it by uvdo lease --off",
                                               path))
               : std::move(has_record).error();
    co_return;
  }
  auto shifted = co_await shift(loop, *opened->device, opened->headers);
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
