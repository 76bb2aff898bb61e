// SPDX-License-Identifier: GPL-2.0-or-later
// How a volume is to be started, as far as its super block and recovery journal tell (behaviour.md,
// 8 to 10).
#pragma once

#include <optional>

#include "async/executor.h"
#include "async/task.h"
#include "base/log.h"
#include "device/device.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "journal/journal_scan.h"

namespace uvdo {

/// Carried out by whoever opens the volume: damage means reading only, a journal means a replay
/// first.
struct StartPlan {
  /// What the volume starts from; its state is still that on disk, or CLEAN after a rebuild.
  SuperBlock super_block;
  /// What is to be replayed, if anything.
  std::optional<UsableJournal> journal;
  JournalRing ring;  ///< as it was before the recovery
  bool scrub_in_background = false;
  /// Why it can only be read.
  std::optional<Error> damage;
};

/// Reads the journal if it counts. A volume that is to be rebuilt is rebuilt now; nothing else is
/// written. `replay_batch`: changes of block map pages that are held in memory at once.
Task<Result<StartPlan>> make_start_plan(Executor& executor, Device& device,
                                        const VolumeGeometry& geometry,
                                        const SuperBlock& super_block, std::size_t replay_batch,
                                        const LogFunction& log);

}  // namespace uvdo
