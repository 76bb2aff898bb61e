// SPDX-License-Identifier: GPL-2.0-or-later
// Takes blocks of a write through the packer (behaviour.md, 6): they are compressed, wait there for
// company, are written together, and come into the map one by one.
//
// What holds here: a fragment goes at once if somebody waits for its block, for equal data, for a
// write's memory or for room; so nobody waits for company that may never come. A block that waits
// in the packer may keep its data in memory of its own (it is parked), so that its job's buffers
// are free for others.
#pragma once

#include "packer/block_compressor.h"
#include "packer/packer.h"
#include "volume/deduplication.h"
#include "volume/map_update.h"
#include "volume/write_jobs.h"

namespace uvdo {

/// Packer forms bins; this part goes with a single block from its compression to the map.
class Packing final : private Hurry {
 public:
  Packing(Executor& executor, Ledger& ledger, InFlight& in_flight, WriteJobs& jobs, Packer& packer,
          DataWriter& writer, Deduplication& deduplication, MapUpdate& update,
          const IndexHolder& index, VolumeBuffers& buffers, const VolumeOptions& options);

  /// Compresses the undecided blocks of a job and starts to pack them, but those that somebody
  /// waits for, and those that cannot be compressed. `packing` are they on their way; a failure of
  /// any is told in `failure`.
  Task<void> start(WriteJob& job, TaskGroup& packing, Result<void>& failure);
  /// Ends the blocks of a job that are in the map if others are in the packer, where they may have
  /// to wait for long; and gives its buffers back, if all others are there.
  void park(WriteJob& job);
  /// A block is in the map, or has failed: unlocks it.
  void end(WriteBlock& block);

 private:
  /// The memory to compress in, here and on the work thread.
  struct Compressors {
    BlockCompressor here;
    AlignedMemory fragment;
    BlockCompressor elsewhere;
  };
  Task<void> start_elsewhere(WriteJob& job, const WorkPlace& work, TaskGroup& packing,
                             Result<void>& failure);
  [[nodiscard]] bool is_wanted(const WriteBlock& block) const;
  Task<void> pack(WriteJob& job, WriteBlock& block, ConstBytes bytes, Result<void>& failure);
  Task<Result<void>> pack_and_apply(WriteJob& job, WriteBlock& block, ConstBytes bytes);
  Task<Result<BlockMapping>> write_alone(const WriteBlock& block);
  void allow_hurry(WriteJob& job);
  /// Has written what waits.
  void hurry() override { packer_.flush(); }

  Executor& executor_;
  SlabDepot& depot_;
  InFlight& in_flight_;
  LbnLocks& locks_;
  WriteJobs& jobs_;
  Packer& packer_;
  DataWriter& writer_;
  Deduplication& deduplication_;
  MapUpdate& update_;
  const IndexHolder& index_;
  VolumeBuffers& buffers_;
  const VolumeOptions& options_;
  Compressors compressors_;
};

}  // namespace uvdo
