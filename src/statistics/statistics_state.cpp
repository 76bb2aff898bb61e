// SPDX-License-Identifier: GPL-2.0-or-later
#include "statistics/statistics_state.h"

namespace uvdo {

bool is_recovering(const VolumeStatistics& s) {
  return s.in_recovery_mode || s.mode == OperatingMode::recovering;
}

bool is_use_known(const VolumeStatistics& s) {
  return !is_recovering(s) && (s.mode != OperatingMode::read_only || s.extra.is_counted);
}

}  // namespace uvdo
