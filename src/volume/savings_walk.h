// SPDX-License-Identifier: GPL-2.0-or-later
// What zero blocks, deduplication and compression save on a volume in use. Nobody counts it until
// somebody asks; then a walk over the block map makes it out in the background, and every change of
// the map keeps it true.
#pragma once

#include "ledger/ledger.h"
#include "statistics/statistics.h"
#include "volume/super_block_store.h"
#include "volume/suspension.h"

namespace uvdo {

class SavingsWalk {
 public:
  SavingsWalk(Executor& executor, const VolumeLife& life, const Suspension& suspension,
              const SuperBlockStore& super_blocks, Ledger& ledger)
      : executor_(executor),
        life_(life),
        suspension_(suspension),
        super_blocks_(super_blocks),
        map_(ledger.map()),
        depot_(ledger.depot()),
        savings_(ledger.savings()),
        walking_(executor) {}

  /// Makes the savings out if nobody has asked before, and waits for that as long as `patience`. It
  /// goes on in the background afterwards.
  Task<void> count(Duration patience);
  /// Waits until it has ended; it does when the volume stops.
  Task<void> wait() { return walking_.wait(); }
  /// Fills in the savings, as far as they are known.
  void add_to(VolumeStatistics& statistics) const;

 private:
  [[nodiscard]] bool may_walk() const {
    return !life_.is_stopping() && !suspension_.is_suspended();
  }
  Task<void> walk();
  Task<bool> walk_tree(std::uint32_t root);
  void count_leaf(const MapPage& leaf);

  Executor& executor_;
  const VolumeLife& life_;
  const Suspension& suspension_;
  const SuperBlockStore& super_blocks_;
  BlockMap& map_;
  SlabDepot& depot_;
  SavingsCounter& savings_;
  TaskGroup walking_;
};

}  // namespace uvdo
