// SPDX-License-Identifier: GPL-2.0-or-later
// What is done with volumes that nobody serves begins here: opening one, what its state and journal
// mean in sentences, and its statistics.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "inspect/volume_image.h"
#include "manage/obstacle.h"
#include "statistics/statistics.h"

namespace uvdo {

/// Opens a stopped volume for reading. busy if it is being served.
Result<std::unique_ptr<VolumeImage>> open_volume(const std::string& path,
                                                 ImageOptions options = {});
/// The same to tell what it is. A journal of the old form cannot be replayed: it is left out then.
Result<std::unique_ptr<VolumeImage>> open_volume_to_describe(const std::string& path,
                                                             ImageOptions options = {});

/// What the state means, and what to do about it.
[[nodiscard]] std::string_view explain(VolumeState state);

/// How the journal of a volume that has one to replay was applied, in a sentence; nothing if there
/// was nothing to apply.
[[nodiscard]] std::optional<std::string> replay_text(const VolumeImage& image);

/// What is lost because the journal is damaged, in a sentence; nothing if it is not.
[[nodiscard]] std::optional<std::string> journal_loss_text(const VolumeImage& image);

/// That the journal was left out on demand, if the volume has one; nothing otherwise.
[[nodiscard]] std::optional<std::string> left_out_text(const VolumeImage& image);

/// A stopped volume's statistics, and what they lack.
struct StoppedStatistics {
  VolumeStatistics statistics;
  std::optional<std::string> problem{};   ///< what of the volume could not be counted
  std::optional<std::string> left_out{};  ///< that its journal was left out on demand
};

/// The statistics that a stopped volume has: sizes, space, savings. All event counts are 0.
Result<StoppedStatistics> stopped_statistics(const std::string& path, ImageOptions options,
                                             const Advise& advise = no_advice);

}  // namespace uvdo
