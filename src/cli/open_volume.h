// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands for stopped volumes share: opening one, and its statistics.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "inspect/volume_image.h"
#include "volume/statistics.h"

namespace uvdo {

/// Opens a stopped volume for reading. busy if it is being served.
Result<std::unique_ptr<VolumeImage>> open_volume(const std::string& path,
                                                 ImageOptions options = {});

/// What the state means, and what to do about it.
[[nodiscard]] std::string_view explain(VolumeState state);

/// The statistics that a stopped volume has: sizes, space, savings. All event counts are 0.
Result<VolumeStatistics> stopped_statistics(const std::string& path);

}  // namespace uvdo
