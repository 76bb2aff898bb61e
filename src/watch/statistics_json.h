// SPDX-License-Identifier: GPL-2.0-or-later
// Statistics as JSON, under the kernel's keys and nested as in its `stats` message; what uvdo adds
// is under "savings" and "uvdo". Both ways: a running volume sends them over its control socket.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "statistics/statistics.h"

namespace uvdo {

[[nodiscard]] Json to_json(const VolumeStatistics& statistics);

/// Keys that are missing keep their defaults. protocol: a value of the wrong type.
Result<VolumeStatistics> statistics_from_json(const Json& json);

}  // namespace uvdo
