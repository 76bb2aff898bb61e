// SPDX-License-Identifier: GPL-2.0-or-later
// Accepting writes (behaviour.md, 5.1 and 5.6): whole blocks go on as they are, parts of blocks are
// merged with what is there. A write is answered when its blocks are locked, its tree pages exist
// and room is promised; what happens to its data then is Placement's.
//
// What holds here: the locks of a range are taken in ascending order and all before a job, so that
// who has a job waits for no lock; once answered, a write can fail only with the device, and then
// the volume becomes read-only and what was lost is kept for readers; a flush waits for all that
// was answered before.
#pragma once

#include "volume/gatherer.h"
#include "volume/placement.h"
#include "volume/write_admission.h"

namespace uvdo {

/// Errors of a write before its answer: out_of_range, no_space, cancelled (the volume ends), that
/// of read-only mode, or the device's where a merge or a page of the map has to be read.
class WritePath {
 public:
  WritePath(Executor& executor, const VolumeLife& life, ReadOnlyNotifier& notifier,
            Entrance& entrance, WriteAdmission& admission, Ledger& ledger, InFlight& in_flight,
            WriteJobs& jobs, Placement& placement, ReadPath& reader, Packer& packer,
            VolumeBuffers& buffers, const VolumeOptions& options, VolumeCounters& counters);

  // ---- requests of clients (BlockService)
  Task<Result<void>> write(std::uint64_t offset, Buffer data, Durability durability);
  Task<Result<void>> flush();

  /// Puts `piece` in the place of a part of a block that the caller has locked. `block`: where it
  /// is merged. The lock is this call's from now on.
  Task<Result<void>> merge_locked(Buffer block, std::uint64_t offset, ConstBytes piece,
                                  Durability durability, const Refusal& refusal);
  /// Has those come to an end who wait for company only.
  void hurry() {
    gatherer_.hurry();
    packer_.flush();
  }
  /// Waits until nothing is left of the writes that were accepted.
  Task<void> drain();
  /// The same where no flush is wanted: what is left only ends.
  Task<void> wait() { return tasks_.wait(); }
  void check_invariants() const { gatherer_.check_invariants(); }

 private:
  /// The stages, in the order of the calls. Whoever is passed a job or the lock of a block gives it
  /// back.
  bool write_at_once(std::uint64_t offset, Buffer& data);
  Task<Result<void>> write_admitted(PatientRequest& request, std::uint64_t offset, Buffer data,
                                    Durability durability);
  Task<Result<void>> write_parts(std::uint64_t offset, Buffer data, Durability durability,
                                 const Refusal& refusal);
  Task<Result<void>> write_piece(std::uint64_t offset, ConstBytes piece, Durability durability,
                                 const Refusal& refusal);
  Task<Result<void>> write_blocks(Lbn first, Buffer data, Durability durability,
                                  const Refusal& refusal);
  /// Sees to it that the leaves of a write's blocks, two at most, exist.
  Task<Result<void>> ensure_leaves(Lbn first, std::size_t count);
  Task<void> wait_for_job();
  /// Goes on with a job whose blocks are locked.
  Task<Result<void>> start_job(WriteJob& job, const Refusal& refusal);
  /// Promises room for a job, where there is none at once, if others have some to give back.
  Task<void> seek_promise(WriteJob& job);
  Task<Result<void>> store_before_answer(WriteJob& job, const Refusal& refusal);
  void store_behind_answer(WriteJob& job);
  Task<void> store_behind(WriteJob& job);
  Task<Result<void>> flush_admitted();
  /// Waits until all writes that were accepted before are in the map.
  Task<void> finish_writes();

  const VolumeLife& life_;
  ReadOnlyNotifier& notifier_;
  Entrance& entrance_;
  WriteAdmission& admission_;
  Ledger& ledger_;
  InFlight& in_flight_;
  WriteJobs& jobs_;
  Placement& placement_;
  ReadPath& reader_;
  Packer& packer_;
  VolumeBuffers& buffers_;
  const VolumeOptions& options_;
  VolumeCounters& counters_;
  TaskGroup tasks_;
  Gatherer gatherer_;
};

}  // namespace uvdo
