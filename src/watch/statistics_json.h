// SPDX-License-Identifier: GPL-2.0-or-later
// Statistics as JSON, under the kernel's keys and nested as in its `stats` message; what uvdo adds
// is under "savings" and "uvdo". Both ways: a running volume sends them over its control socket.
#pragma once

#include "base/json_fields.h"
#include "statistics/statistics_fields.h"

namespace uvdo {

template <>
struct JsonCodec<OperatingMode> {
  static Json write(OperatingMode mode);
  static std::optional<OperatingMode> read(const Json& json);
};

/// The keys of the kernel are those of behaviour.md, 14.
[[nodiscard]] Json to_json(const VolumeStatistics& statistics);

}  // namespace uvdo
