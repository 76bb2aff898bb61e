// SPDX-License-Identifier: GPL-2.0-or-later
// How a volume is to be started, as far as its super block and recovery journal tell.
#pragma once

#include <optional>

#include "journal/journal_scan.h"
#include "volume/volume.h"

namespace uvdo {

struct Volume::StartPlan {
  /// What the volume starts from; its state is still that on disk, or CLEAN after a rebuild.
  SuperBlock super_block;
  /// What is to be replayed, if anything.
  std::optional<UsableJournal> journal;
  JournalRing ring;  ///< as it was before the recovery
  bool scrub_in_background = false;
  /// Why it can only be read.
  std::optional<Error> damage;
};

}  // namespace uvdo
