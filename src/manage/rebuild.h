// SPDX-License-Identifier: GPL-2.0-or-later
// The rebuild of a stopped volume that an error has left read-only, after a survey of what it would
// cost.
#pragma once

#include <functional>
#include <string>

#include "base/log.h"
#include "format/super_block.h"
#include "manage/obstacle.h"
#include "recovery/rebuild.h"

namespace uvdo {

struct StoppedRebuildOptions {
  std::string volume;
  bool dry_run = false;         ///< only the survey
  bool accepts_losses = false;  ///< go on although something is lost
  bool force = false;           ///< also where the volume needs no rebuild
  /// Told what the rebuild would keep and lose, before it begins.
  std::function<void(const RebuildReport& survey)> surveyed = [](const RebuildReport&) {};
  LogFunction log;  ///< of the rebuild
  Advise advise = no_advice;
};

struct StoppedRebuild {
  /// As it was found.
  VolumeState before{};
  /// What the rebuild would do, or has done.
  RebuildReport survey;
  /// Whether the volume was rebuilt (not in a dry run), or why not. corrupt: something would be
  /// lost, so that it was not begun.
  Result<bool> rebuilt = false;
};

/// An error if not even the survey could be made: then nothing was changed. invalid_argument: the
/// volume needs no rebuild.
Result<StoppedRebuild> rebuild_stopped_volume(const StoppedRebuildOptions& options);

}  // namespace uvdo
