// SPDX-License-Identifier: GPL-2.0-or-later
// What is to be known of a volume: from its server if it has one, else from its disk.
#pragma once

#include <optional>
#include <string>

#include "control/status_message.h"
#include "format/super_block.h"
#include "manage/served_volume.h"
#include "manage/stopped_volume.h"
#include "watch/volume_description.h"

namespace uvdo {

/// Whether all is well.
struct VolumeStatus {
  /// As its server has assessed it, or as its disk shows it.
  StatusAnswer status;
  std::optional<VolumeState> state{};  ///< of one that nobody serves
  [[nodiscard]] bool is_served() const { return !state; }
};
/// Of a volume that nobody serves too; an error if neither a server nor the disk can be asked.
Result<VolumeStatus> volume_status(const ServedVolume& served);

/// The statistics; of a stopped volume as stopped_statistics().
Result<StoppedStatistics> volume_statistics(const ServedVolume& served, ImageOptions options,
                                            const Advise& advise = no_advice);

/// What the volume is.
struct DescribedVolume {
  VolumeDescription description;
  std::optional<std::string> left_out{};  ///< that its journal was left out on demand
};
/// `options` count where nobody serves it.
Result<DescribedVolume> describe_volume(const ServedVolume& served, ImageOptions options);

}  // namespace uvdo
