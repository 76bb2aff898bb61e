// SPDX-License-Identifier: GPL-2.0-or-later
// A volume's figures in the text format of Prometheus (version 0.0.4).
#pragma once

#include <string>

#include "serve/activity.h"
#include "volume/statistics.h"

namespace uvdo {

struct MetricsSource {
  std::string volume;  ///< the label of every sample
  VolumeStatistics statistics;
  Activity activity;
  bool recovering = false;
};

[[nodiscard]] std::string metrics_text(const MetricsSource& source);

}  // namespace uvdo
