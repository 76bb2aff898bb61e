// SPDX-License-Identifier: GPL-2.0-or-later
// Writes the super block: after everything before it is stable, and stable itself when done.
#pragma once

#include "async/task.h"
#include "base/aligned_memory.h"
#include "device/device.h"
#include "format/super_block.h"

namespace uvdo {

class SuperBlockStore {
 public:
  SuperBlockStore(Device& device, std::uint64_t device_offset)
      : device_(device), device_offset_(device_offset), memory_(kBlockSize) {}

  /// Flush, then write with FUA (vdo-behaviour.md, 5.2). After a failure it is never tried again:
  /// a super block whose fate is unknown must not be followed by another.
  Task<Result<void>> write(const SuperBlock& super_block);
  [[nodiscard]] bool has_failed() const { return failed_; }

 private:
  Device& device_;
  std::uint64_t device_offset_;
  AlignedMemory memory_;
  bool failed_ = false;
};

}  // namespace uvdo
