// SPDX-License-Identifier: GPL-2.0-or-later
// Statistics as JSON, under the kernel's keys and nested as in its `stats` message; what uvdo adds
// is under "savings" and "uvdo". Both ways: a running volume sends them over its control socket.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "volume/statistics.h"

namespace uvdo {

[[nodiscard]] nlohmann::ordered_json to_json(const VolumeStatistics& statistics);

/// Keys that are missing keep their defaults. protocol: a value of the wrong type.
Result<VolumeStatistics> statistics_from_json(const nlohmann::ordered_json& json);

}  // namespace uvdo
