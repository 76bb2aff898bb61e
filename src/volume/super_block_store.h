// SPDX-License-Identifier: GPL-2.0-or-later
// The super block of a volume in use. All who change it do so through here, one after the other:
// each begins with what the one before has made stable, so that none undoes another's change or
// writes what is half changed.
#pragma once

#include <functional>

#include "async/task.h"
#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "device/pbn_device.h"
#include "format/super_block.h"

namespace uvdo {

/// Flush, then a write with FUA (behaviour.md, 5.2): after everything before it is stable, and
/// stable itself when done. For a volume that nobody else uses.
/// `place` is VolumeGeometry::data_start.
Task<Result<void>> write_super_block(PbnDevice blocks, Pbn place, const SuperBlock& super_block);

/// The super block lies in one sector as far as it is encoded (volume.md, 4), so that a power cut
/// leaves the old one or the new one.
class SuperBlockStore {
 public:
  /// Makes the next super block out of the last; an error if it is not to be written after all.
  using Change = std::function<Result<void>(SuperBlock& next)>;

  SuperBlockStore(Executor& executor, PbnDevice blocks, Pbn place, const SuperBlock& super_block)
      : blocks_(blocks),
        place_(place),
        memory_(kBlockSize),
        super_block_(super_block),
        writer_(executor, 1) {}

  /// The last that became stable; until then what the volume was opened with.
  [[nodiscard]] const SuperBlock& current() const { return super_block_; }
  /// The same in another form, before the first change.
  void begin_with(const SuperBlock& super_block) { super_block_ = super_block; }

  /// Calls `f` with each that has become stable.
  void on_stable(std::function<void(const SuperBlock&)> f) { on_stable_ = std::move(f); }

  /// Writes what `change` makes, when those who came before are done; current() follows when that
  /// is stable. After a failure nothing is ever written again: a super block whose fate is unknown
  /// must not be followed by another.
  Task<Result<void>> change(Change change);
  /// The same on another way to the device, also after a failure: for a state that holds whatever
  /// became of the last one.
  Task<Result<void>> change_past(Device& device, Change change);

 private:
  Task<Result<void>> change_alone(PbnDevice blocks, const Change& change);

  PbnDevice blocks_;
  Pbn place_;
  AlignedMemory memory_;  // what is being written
  SuperBlock super_block_;
  Semaphore writer_;
  std::function<void(const SuperBlock&)> on_stable_;
  bool failed_ = false;
};

}  // namespace uvdo
