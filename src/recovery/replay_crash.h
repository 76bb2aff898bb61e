// SPDX-License-Identifier: GPL-2.0-or-later
// Replays the recovery journal of a volume that was not shut down (behaviour.md, 8).
//
// Until the super block is written behind all of it, a recovery leaves the recovery journal and all
// that tells where it begins as they were: broken off at any point, it is repeated from the start.
#pragma once

#include "async/task.h"
#include "base/log.h"
#include "depot/slab_depot.h"
#include "format/super_block.h"
#include "journal/journal_scan.h"

namespace uvdo {

/// A volume as a crash has left it, for as long as it is replayed.
/// References to what the caller keeps until the replay has ended.
struct Crash {
  Executor& executor;
  PbnDevice blocks;
  const SuperBlock& super_block;
  const UsableJournal& journal;
  JournalRing ring;
  const LogFunction& log;
};

/// Writes what the journal says into the pages of the block map, and flushes. `replay_batch`:
/// changes that are held in memory at once.
Task<Result<void>> recover_block_map(const Crash& crash, std::size_t replay_batch);

/// Brings what the journal says, and the slabs' journals lack, into those, and makes the slabs
/// ready that were never used; the others wait for scrubbing. corrupt: they have more than the
/// journal.
Task<Result<void>> recover_slabs(const Crash& crash, SlabDepot& depot);

}  // namespace uvdo
