// SPDX-License-Identifier: GPL-2.0-or-later
// What can be said of a volume's counters, by the counters alone: the same in statistics, status,
// metrics and top.
#pragma once

#include "statistics/statistics.h"

namespace uvdo {

/// Whether reference counts are still made out after a crash, whatever else there is to say.
[[nodiscard]] bool is_recovering(const VolumeStatistics& statistics);
/// Whether somebody knows how many data blocks are in use: nobody does until a recovery has ended,
/// nor after an error.
[[nodiscard]] bool is_use_known(const VolumeStatistics& statistics);

}  // namespace uvdo
