// SPDX-License-Identifier: GPL-2.0-or-later
// A volume's figures in the text format of Prometheus (version 0.0.4).
#pragma once

#include <string>

#include "statistics/statistics.h"
#include "watch/activity.h"

namespace uvdo {

/// What the metrics are made of, all of one moment.
struct MetricsSource {
  std::string volume;   ///< its real path: the label `volume` of every sample
  std::string uuid;     ///< the label `uuid` of every sample
  std::string version;  ///< of the server
  VolumeStatistics statistics;
  Activity activity;
};

/// All metrics, each family with its help. Names and labels are an interface: dashboards depend on
/// them (docs/watching.md).
[[nodiscard]] std::string metrics_text(const MetricsSource& source);

}  // namespace uvdo
