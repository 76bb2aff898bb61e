// SPDX-License-Identifier: GPL-2.0-or-later
// A volume's device, addressed by its physical blocks: who reads and writes them need not know at
// which byte one lies. A handle, to be copied; what it leads to outlives it.
#pragma once

#include <span>

#include "base/block_types.h"
#include "device/device.h"

namespace uvdo {

/// Awaited as the requests of Device are, in the thread of the device.
class PbnDevice {
 public:
  /// `bio_offset`: the number of the block at byte 0, as the volume's geometry says. No block
  /// before it may be asked for.
  PbnDevice(Device& device, std::uint64_t bio_offset) : device_(&device), bio_offset_(bio_offset) {}

  [[nodiscard]] Device& device() const { return *device_; }
  /// The same blocks on another way to the device.
  [[nodiscard]] PbnDevice by_way_of(Device& device) const { return {device, bio_offset_}; }
  /// Where a block begins, in bytes.
  [[nodiscard]] std::uint64_t byte_of(Pbn pbn) const { return device_byte(pbn, bio_offset_); }

  // As Device has them; buffers are whole blocks.

  [[nodiscard]] Device::Awaiter read(Pbn first, MutableBytes blocks) const {
    return device_->read(byte_of(first), blocks);
  }
  [[nodiscard]] Device::Awaiter write(Pbn first, ConstBytes blocks,
                                      Durability durability = Durability::cached) const {
    return device_->write(byte_of(first), blocks, durability);
  }
  [[nodiscard]] Device::Awaiter writev(Pbn first, std::span<const iovec> blocks,
                                       Durability durability = Durability::cached) const {
    return device_->writev(byte_of(first), blocks, durability);
  }
  [[nodiscard]] Device::Awaiter write_zeroes(Pbn first, std::uint64_t count) const {
    return device_->write_zeroes(byte_of(first), count * kBlockSize);
  }
  [[nodiscard]] Device::Awaiter discard(Pbn first, std::uint64_t count) const {
    return device_->discard(byte_of(first), count * kBlockSize);
  }
  [[nodiscard]] Device::Awaiter flush() const { return device_->flush(); }

 private:
  Device* device_;
  std::uint64_t bio_offset_;
};

}  // namespace uvdo
