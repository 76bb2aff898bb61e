// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/format_volume.h"

#include <algorithm>

#include "base/aligned_memory.h"
#include "device/pbn_device.h"
#include "format/zero_block.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kZeroChunk = 256;  // blocks

class Zeroer {
 public:
  explicit Zeroer(PbnDevice device) : device_(device), memory_(kZeroChunk * kBlockSize) {}

  Task<Result<void>> write(Pbn first, std::uint64_t blocks) {
    return zero(first, blocks, Device::Op::write);
  }
  /// The same without writing, where the device can do that. What it then reads is believed, not
  /// what it has promised: what is not zero is written.
  Task<Result<void>> clear(Pbn first, std::uint64_t blocks) {
    // It may fail or do nothing: then zeros are written.
    const auto cleared = co_await device_.write_zeroes(first, blocks);
    co_return co_await zero(first, blocks, cleared ? Device::Op::read : Device::Op::write);
  }

 private:
  /// Op::read: if it reads as zeros already it need not be written.
  Task<Result<void>> zero(Pbn first, std::uint64_t blocks, Device::Op op) {
    while (blocks > 0) {
      const std::uint64_t count = std::min(blocks, kZeroChunk);
      const MutableBytes bytes = memory_.bytes().first(count * kBlockSize);
      bool is_zero = false;
      if (op == Device::Op::read) {
        auto read = co_await device_.read(first, bytes);
        is_zero = read && are_zero(bytes);
      }
      if (!is_zero) {
        std::ranges::fill(bytes, std::byte{0});
        auto written = co_await device_.write(first, bytes);
        if (!written) co_return written;
      }
      first += count;
      blocks -= count;
    }
    co_return Result<void>();
  }
  static bool are_zero(ConstBytes bytes) {
    for (; !bytes.empty(); bytes = bytes.subspan(kBlockSize)) {
      if (!is_zero_block(bytes.data())) return false;
    }
    return true;
  }

  PbnDevice device_;
  AlignedMemory memory_;
};

}  // namespace

Task<Result<void>> format_volume(Device& device, const VolumeLayout& layout, FaultPoints faults) {
  const VolumeGeometry& geometry = layout.geometry;
  const Partition roots = layout.super_block.find(PartitionId::block_map);
  const Partition journal = layout.super_block.find(PartitionId::recovery_journal);
  const PbnDevice blocks(device, geometry.bio_offset);
  Zeroer zeroer(blocks);
  // An old index first, then the old volume, so that nothing finds the one without the other.
  auto done = co_await zeroer.write(geometry.index_start, 1);
  if (done) done = co_await zeroer.write(Pbn{0}, 1);
  // Until the old volume is gone for good nothing of it may change.
  if (done && !faults.is_on(Fault::format_without_flush)) done = co_await device.flush();
  if (done) done = co_await zeroer.clear(roots.start, roots.blocks);
  if (done) done = co_await zeroer.clear(journal.start, journal.blocks);
  if (!done) co_return done;
  const AlignedMemory block(kBlockSize);
  encode_super_block(layout.super_block, block.bytes());
  done = co_await blocks.write(geometry.data_start, block.bytes());
  if (done) done = co_await device.flush();
  if (!done) co_return done;
  // Only this makes it a volume, and only when all that it leads to is stable (behaviour.md, 2).
  encode_volume_geometry(geometry, block.bytes());
  done = co_await device.write(0, block.bytes(), Durability::fua);
  if (done) done = co_await device.flush();
  co_return done;
}

}  // namespace uvdo
