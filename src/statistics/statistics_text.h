// SPDX-License-Identifier: GPL-2.0-or-later
// Statistics as text: the table and the verbose list of `vdostats` (behaviour.md, 14; that of VDO
// 6: vdostats.md), and the savings in plain words.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "statistics/statistics.h"

namespace uvdo {

/// "normal", "recovering", "read-only".
[[nodiscard]] std::string_view name_of(OperatingMode mode);

/// Whose vdostats the layout is that of. Both name the same figures; they differ in labels, their
/// order, and how percents are cut.
enum class VdostatsForm : std::uint8_t {
  v6,  ///< VDO 6.2, which came with the command `vdo` (RHEL 7 and 8)
  v8,  ///< VDO 8, of LVM's volumes; has what Linux's own driver counts
};

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
                                           TableUnits units, VdostatsForm form = VdostatsForm::v8);

/// Labels and values, in the order of the list.
using StatisticsRows = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] StatisticsRows statistics_rows(const VolumeStatistics& statistics, VdostatsForm form);

/// The same as text: a line each, after a line with the name.
[[nodiscard]] std::string statistics_list(std::string_view name, const VolumeStatistics& statistics,
                                          VdostatsForm form = VdostatsForm::v8);

/// The kernel's `stats` message: one line, "{ version : 36, ... }".
[[nodiscard]] std::string statistics_message(const VolumeStatistics& statistics);
/// Reads such a message. Keys that it lacks keep their defaults, and others are passed over: each
/// version of the kernel has its own. corrupt: it is no such message.
Result<VolumeStatistics> read_statistics_message(std::string_view text);

/// Where the space of the logical device went, as a small table with words.
[[nodiscard]] std::string savings_text(const VolumeStatistics& statistics);

/// 100 * used / physical, in the table as in the list: rounded, in v6 cut to a whole number; -1
/// where the used part is not known ("N/A").
[[nodiscard]] int used_percent(const VolumeStatistics& statistics,
                               VdostatsForm form = VdostatsForm::v8);
/// 100 * (logical used - data) / logical used, cut to a whole number; -1 if it is negative or not
/// known ("N/A"). If nothing is used: 0, in v6 -1.
[[nodiscard]] int saving_percent(const VolumeStatistics& statistics,
                                 VdostatsForm form = VdostatsForm::v8);

}  // namespace uvdo
