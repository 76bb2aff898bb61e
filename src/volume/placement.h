// SPDX-License-Identifier: GPL-2.0-or-later
// From data to a mapping: zero test, record name, deduplication, compression or a block of its own,
// then the change of the map (behaviour.md, 5.1, 6 and 7).
//
// What holds here: a job is in the depot's read epochs while it relies on a block that it has found
// or made, so that the block cannot get other content before the map refers to it; but never while
// it waits for a free block, so that it keeps nobody from freeing some. Of all that it took,
// blocks, promises, parts as agents or followers, nothing is left when store() returns but the
// locks of its blocks.
#pragma once

#include "volume/maintenance.h"
#include "volume/packing.h"

namespace uvdo {

/// The states of a block on its way are those of write_job.h (Stage); this part decides the order.
class Placement {
 public:
  Placement(Executor& executor, Ledger& ledger, InFlight& in_flight, WriteJobs& jobs,
            DataWriter& writer, Deduplication& deduplication, MapUpdate& update, Packing& packing,
            const IndexHolder& index, Maintenance& maintenance, const VolumeOptions& options)
      : executor_(executor),
        ledger_(ledger),
        depot_(ledger.depot()),
        locks_(in_flight.locks()),
        jobs_(jobs),
        writer_(writer),
        deduplication_(deduplication),
        update_(update),
        packing_(packing),
        index_(index),
        maintenance_(maintenance),
        options_(options) {}

  /// Finds or makes places for the blocks of a job, which are locked, and brings them into the map.
  /// no_space: it was not promised room, and there is none.
  Task<Result<void>> store(WriteJob& job);
  /// What is left of a job ends: its blocks are unlocked, what it holds is given back.
  void finish(WriteJob& job);

 private:
  Task<Result<void>> store_first(WriteJob& job);
  /// Goes on with a follower, once its agent has settled.
  Task<Result<void>> follow(WriteJob& job, WriteBlock& block);
  Task<Result<void>> become_agent(WriteJob& job, WriteBlock& block);
  /// Finds places for the undecided blocks. They are located then, or in the map already. `guard`
  /// is given up where the rest takes long.
  Task<Result<void>> place(WriteJob& job, std::optional<ReadGuard>& guard);
  Task<Result<void>> place_whole(WriteJob& job);
  /// A block for each of those that get one of their own, in the job's list of writes.
  Task<Result<std::size_t>> choose_blocks(WriteJob& job);
  void tell_index(WriteJob& job);
  [[nodiscard]] bool may_compress(const WriteJob& job) const {
    return options_.compression && job.has_promise && job.durability == Durability::cached;
  }

  Executor& executor_;
  Ledger& ledger_;
  SlabDepot& depot_;
  LbnLocks& locks_;
  WriteJobs& jobs_;
  DataWriter& writer_;
  Deduplication& deduplication_;
  MapUpdate& update_;
  Packing& packing_;
  const IndexHolder& index_;
  Maintenance& maintenance_;
  const VolumeOptions& options_;
};

}  // namespace uvdo
