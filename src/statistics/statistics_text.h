// SPDX-License-Identifier: GPL-2.0-or-later
// Statistics as text: the table and the verbose list of `vdostats` (behaviour.md, 14), and the
// savings in plain words.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "statistics/statistics.h"

namespace uvdo {

/// "normal", "recovering", "read-only".
[[nodiscard]] std::string_view name_of(OperatingMode mode);

/// The units of the table's sizes.
enum class TableUnits : std::uint8_t {
  kib,     ///< numbers of 1024 bytes
  binary,  ///< 1.5G, by 1024
  si,      ///< 1.5G, by 1000
};

struct NamedStatistics {
  std::string name;
  VolumeStatistics statistics;
};

/// The table: a header and a line for each volume.
[[nodiscard]] std::string statistics_table(std::span<const NamedStatistics> volumes,
                                           TableUnits units);

/// Every statistic under its label, a line each, after a line with the name.
[[nodiscard]] std::string statistics_list(std::string_view name,
                                          const VolumeStatistics& statistics);

/// The kernel's `stats` message: one line, "{ version : 36, ... }".
[[nodiscard]] std::string statistics_message(const VolumeStatistics& statistics);

/// Where the space of the logical device went, as a small table with words.
[[nodiscard]] std::string savings_text(const VolumeStatistics& statistics);

/// 100 * used / physical, rounded, in the table as in the list; -1 where the used part is not known
/// ("N/A").
[[nodiscard]] int used_percent(const VolumeStatistics& statistics);
/// 100 * (logical used - data) / logical used, cut to a whole number; 0 if nothing is used, -1 if
/// it is negative or not known ("N/A").
[[nodiscard]] int saving_percent(const VolumeStatistics& statistics);

}  // namespace uvdo
