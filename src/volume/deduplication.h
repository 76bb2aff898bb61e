// SPDX-License-Identifier: GPL-2.0-or-later
// Finding data that is there already (behaviour.md, 7): blocks are named, equal ones in flight
// share one, and for the others the index is asked and its advice compared byte for byte.
//
// What holds here: nothing rests on a name: what is shared was compared, with the data in flight or
// with what is on the device. Of all blocks of a name that are being stored one is the agent; it
// settles with where its data are, or with nothing, before it is unlocked; followers wait for that.
// A free block that is claimed because its old data may do is released if they do not.
#pragma once

#include "volume/index_holder.h"
#include "volume/read_path.h"
#include "volume/write_job.h"

namespace uvdo {

/// Errors of the index or of a read for comparison cost deduplication and are no errors of the
/// write.
class Deduplication {
 public:
  Deduplication(Executor& executor, SlabDepot& depot, ReadPath& reader, const IndexHolder& index,
                VolumeBuffers& buffers, const VolumeOptions& options, std::size_t blocks_at_once,
                VolumeCounters& counters)
      : executor_(executor),
        depot_(depot),
        reader_(reader),
        index_(index),
        buffers_(buffers),
        options_(options),
        counters_(counters),
        hash_locks_(executor, blocks_at_once) {}

  /// Gives the blocks of a job their parts (agent, follower, ...), and a location to those that are
  /// zeros or whose data the index knows. The caller is in the depot's read epochs until the map
  /// refers to what was found.
  Task<void> find_locations(WriteJob& job);
  /// The block begins anew, as an agent, a follower, or with a name that others have for other
  /// data.
  void join(WriteBlock& block);
  /// Asks the index again for an agent. It is told of the copy that is made if there is none.
  Task<void> ask_again(WriteJob& job, WriteBlock& block);
  /// Waits for the agent that a follower follows, and leaves it. If its data can be shared by one
  /// who has been in `guard` since, the block is located then.
  Task<void> follow(WriteBlock& block, std::optional<ReadGuard>& guard);

  /// Ends the part of an agent: followers learn where its data are, if they are in the map.
  void settle(WriteBlock& block);
  /// settle() for all of a job that are agents.
  void settle_all(WriteJob& job);
  /// Ends the part of a follower.
  void leave(WriteBlock& block);

 private:
  Task<void> look_up(WriteJob& job);
  Task<void> verify(WriteBlock& block, BlockMapping advice);

  Executor& executor_;
  SlabDepot& depot_;
  ReadPath& reader_;
  const IndexHolder& index_;
  VolumeBuffers& buffers_;
  const VolumeOptions& options_;
  VolumeCounters& counters_;
  HashLocks hash_locks_;
};

}  // namespace uvdo
