// SPDX-License-Identifier: GPL-2.0-or-later
// Makes the map say where the blocks of a write are, once their data are there.
//
// What holds here: leaves that a change needs were made when the write was accepted, so that only a
// failure of the device can be in its way; a job that was refused changes nothing more.
#pragma once

#include <span>

#include "ledger/ledger.h"
#include "volume/write_job.h"

namespace uvdo {

/// A waiting outcome of the ledger is waited for here, and the change tried again from its
/// beginning.
class MapUpdate {
 public:
  MapUpdate(Executor& executor, Ledger& ledger)
      : executor_(executor), ledger_(ledger), map_(ledger.map()), depot_(ledger.depot()) {}

  /// Changes the entries of the blocks that are located. One that cannot be shared any more
  /// becomes undecided.
  Task<Result<void>> apply(WriteJob& job);
  /// The same for one block, located or back from the packer.
  Task<Result<void>> apply_alone(WriteJob& job, WriteBlock& block);
  /// Gives up the leaves that were read for a job.
  void let_go_of_leaves(WriteJob& job);

 private:
  void prefetch_changes(std::span<const WriteBlock> blocks);
  Task<Result<void>> apply_in_leaf(WriteJob& job, WriteBlock& block, MapPage& leaf);
  Result<Ledger::Outcome> try_apply(WriteJob& job, WriteBlock& block, MapPage& leaf);
  Task<void> fetch_leaves(WriteJob& job, std::span<const WriteBlock> blocks);
  Task<void> fetch(WriteJob& job, PageNumber page);
  Task<Result<LeafPin>> leaf_for_write(PageNumber page);

  Executor& executor_;
  Ledger& ledger_;
  BlockMap& map_;
  SlabDepot& depot_;
  std::size_t leaves_held_ = 0;  // by jobs, besides those that are being changed
};

}  // namespace uvdo
