// SPDX-License-Identifier: GPL-2.0-or-later
// What a monitoring system is told of volumes: one word for each, a sentence, and figures; and the
// line that plugins of Nagios print of them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "statistics/statistics.h"
#include "watch/health.h"

namespace uvdo {

/// The words of Nagios; their numbers are a plugin's exit statuses.
enum class Verdict : std::uint8_t { ok = 0, warning = 1, critical = 2, unknown = 3 };
/// "OK", "WARNING", "CRITICAL", "UNKNOWN".
[[nodiscard]] std::string_view name_of(Verdict verdict);

/// Percents at which a figure is a warning, and critical.
struct PercentLimits {
  unsigned warning = 0;
  unsigned critical = 0;
};
/// Nothing: that figure is told and not judged.
struct MonitorLimits {
  std::optional<PercentLimits> physical = PercentLimits{80, 95};  ///< of the room for data used
  std::optional<PercentLimits> logical{};  ///< of the logical space written to
  std::optional<PercentLimits> savings{};  ///< at most saved of what was written
};

enum class LimitDirection : std::uint8_t {
  upwards,    ///< what is much is critical
  downwards,  ///< what is little
};
/// "80,95": the warning first. "none": nothing. invalid_argument otherwise.
Result<std::optional<PercentLimits>> parse_percent_limits(std::string_view text,
                                                          LimitDirection direction);

/// What is known of a volume.
struct MonitoredVolume {
  std::string name;
  VolumeStatistics statistics;
  std::vector<Trouble> troubles;  ///< as assess() found them; those about the room are not heeded
};

/// What is said of one.
struct MonitorFinding {
  std::string name;
  Verdict verdict = Verdict::ok;
  std::string text;          ///< no sentence's end
  std::string figures = {};  ///< performance data of Nagios without names of the volume
};

/// Pure. By the limits, and by troubles of other kinds.
[[nodiscard]] MonitorFinding judge(const MonitoredVolume& volume, const MonitorLimits& limits);

/// The gravest; critical before warning before unknown. unknown if there is none.
[[nodiscard]] Verdict gravest(std::span<const MonitorFinding> findings);

/// Whether figures are those of the one volume there is, or have its name before them.
enum class FigureNames : std::uint8_t { short_names, with_volume };
/// "UVDO OK - text|figures": one line without a line's end.
[[nodiscard]] std::string nagios_line(std::span<const MonitorFinding> findings, FigureNames names);

}  // namespace uvdo
