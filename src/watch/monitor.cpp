// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/monitor.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/core.h>

#include "base/printable.h"
#include "base/saturating.h"
#include "statistics/statistics_text.h"

namespace uvdo {
namespace {

/// A figure in percent with its name, and what is judged by.
struct Figure {
  std::string_view label;
  std::string_view words;  ///< what so many percent are of
  std::optional<unsigned> percent;
  std::optional<PercentLimits> limits;
  LimitDirection direction = LimitDirection::upwards;
};

unsigned part_in_percent(std::uint64_t part, std::uint64_t whole) {
  return static_cast<unsigned>(percent_of(std::min(part, whole), whole));
}

std::array<Figure, 3> figures_of(const VolumeStatistics& s, const MonitorLimits& limits) {
  std::optional<unsigned> physical;
  if (const auto used = room_used(s)) physical = part_in_percent(*used, room_for_data(s));
  std::optional<unsigned> logical;
  if (!is_recovering(s)) logical = part_in_percent(s.logical_blocks_used, s.logical_blocks);
  std::optional<unsigned> savings;
  // Of a volume where nothing was written nothing could be saved.
  if (const int saved = saving_percent(s); saved >= 0 && s.logical_blocks_used > 0) {
    savings = static_cast<unsigned>(saved);
  }
  return {{{"physical", "of the room for data used", physical, limits.physical},
           {"logical", "of the logical space written", logical, limits.logical},
           {"savings", "saved", savings, limits.savings, LimitDirection::downwards}}};
}

Verdict verdict_of(const Figure& figure) {
  if (!figure.percent || !figure.limits) return Verdict::ok;
  const auto reaches = [&](unsigned limit) {
    return figure.direction == LimitDirection::upwards ? *figure.percent >= limit
                                                       : *figure.percent <= limit;
  };
  if (reaches(figure.limits->critical)) return Verdict::critical;
  return reaches(figure.limits->warning) ? Verdict::warning : Verdict::ok;
}

/// "physical=81%;80;95;0;100". A range "@0:9" is what an alarm is raised within.
std::string performance_data(const Figure& figure) {
  const auto limit = [&](unsigned percent) {
    return figure.direction == LimitDirection::upwards ? fmt::format("{}", percent)
                                                       : fmt::format("@0:{}", percent);
  };
  return fmt::format("{}={};{};{};0;100", figure.label,
                     figure.percent ? fmt::format("{}%", *figure.percent) : "U",
                     figure.limits ? limit(figure.limits->warning) : "",
                     figure.limits ? limit(figure.limits->critical) : "");
}

std::string words_of(const Figure& figure) {
  if (!figure.percent) return fmt::format("not known how much {}", figure.words);
  const std::string words = fmt::format("{}% {}", *figure.percent, figure.words);
  switch (verdict_of(figure)) {
    case Verdict::warning: return fmt::format("{} (warning: {}%)", words, figure.limits->warning);
    case Verdict::critical:
      return fmt::format("{} (critical: {}%)", words, figure.limits->critical);
    default: return words;
  }
}

/// Higher is graver.
int rank(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return 0;
    case Verdict::unknown: return 1;
    case Verdict::warning: return 2;
    case Verdict::critical: return 3;
  }
  return 1;
}

Verdict graver(Verdict a, Verdict b) { return rank(a) < rank(b) ? b : a; }

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : std::string(separator)) + part;
  return text;
}

/// The bar would begin the figures.
std::string without_bars(std::string text) {
  std::ranges::replace(text, '|', '/');
  return printable(text);
}

/// A label may have neither quotes nor equal signs.
std::string label_text(std::string text) {
  for (const char c : {'\'', '='}) std::ranges::replace(text, c, '_');
  return without_bars(std::move(text));
}

std::string figures_text(const MonitorFinding& finding, FigureNames names) {
  if (names == FigureNames::short_names || finding.figures.empty()) return finding.figures;
  std::string text;
  for (std::string_view rest = finding.figures; !rest.empty();) {
    const std::string_view figure = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(figure.size() + 1, rest.size()));
    const std::size_t equal = figure.find('=');
    text += fmt::format("{}'{} {}'{}", text.empty() ? "" : " ", label_text(finding.name),
                        figure.substr(0, equal), figure.substr(equal));
  }
  return text;
}

std::optional<unsigned> percent_in(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > 100) return std::nullopt;
  return value;
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return "OK";
    case Verdict::warning: return "WARNING";
    case Verdict::critical: return "CRITICAL";
    case Verdict::unknown: return "UNKNOWN";
  }
  return "UNKNOWN";
}

Result<std::optional<PercentLimits>> parse_percent_limits(std::string_view text,
                                                          LimitDirection direction) {
  if (text == "none") return std::optional<PercentLimits>();
  const std::size_t comma = text.find(',');
  if (comma != std::string_view::npos) {
    const auto warning = percent_in(text.substr(0, comma));
    const auto critical = percent_in(text.substr(comma + 1));
    const bool is_upwards = direction == LimitDirection::upwards;
    if (warning && critical && (is_upwards ? *warning <= *critical : *warning >= *critical)) {
      return std::optional(PercentLimits{*warning, *critical});
    }
  }
  return Error(Errc::invalid_argument,
               fmt::format("\"{}\" is not WARNING,CRITICAL in percent, the {} one first, or none",
                           text, direction == LimitDirection::upwards ? "lower" : "higher"));
}

MonitorFinding judge(const MonitoredVolume& volume, const MonitorLimits& limits) {
  MonitorFinding finding{volume.name, Verdict::ok, {}};
  std::vector<std::string> problems;
  for (const Trouble& trouble : volume.troubles) {
    if (trouble.kind == TroubleKind::room) continue;
    const bool is_critical = gravity_of(trouble.kind) == Gravity::critical;
    finding.verdict = graver(finding.verdict, is_critical ? Verdict::critical : Verdict::warning);
    std::string problem = trouble.problem;
    if (problem.ends_with('.')) problem.pop_back();
    problems.push_back(std::move(problem));
  }
  std::vector<std::string> words;
  std::vector<std::string> data;
  for (const Figure& figure : figures_of(volume.statistics, limits)) {
    finding.verdict = graver(finding.verdict, verdict_of(figure));
    words.push_back(words_of(figure));
    data.push_back(performance_data(figure));
  }
  problems.push_back(joined(words, ", "));
  finding.text = joined(problems, "; ");
  finding.figures = joined(data, " ");
  return finding;
}

Verdict gravest(std::span<const MonitorFinding> findings) {
  if (findings.empty()) return Verdict::unknown;
  Verdict verdict = Verdict::ok;
  for (const MonitorFinding& finding : findings) verdict = graver(verdict, finding.verdict);
  return verdict;
}

std::string nagios_line(std::span<const MonitorFinding> findings, FigureNames names) {
  std::vector<std::string> texts;
  std::vector<std::string> data;
  std::size_t well = 0;
  for (const MonitorFinding& finding : findings) {
    if (const std::string figures = figures_text(finding, names); !figures.empty()) {
      data.push_back(figures);
    }
    if (finding.verdict == Verdict::ok && findings.size() > 1) {
      ++well;
    } else {
      texts.push_back(without_bars(fmt::format("{}: {}", finding.name, finding.text)));
    }
  }
  // Those that need attention come first, whatever there is besides.
  if (well > 0) {
    texts.push_back(texts.empty() ? fmt::format("all {} volumes are well", well)
                                  : fmt::format("{} more {} well", well, well == 1 ? "is" : "are"));
  }
  if (findings.empty()) texts.emplace_back("no volume is being served");
  return fmt::format("UVDO {} - {}{}{}", name_of(gravest(findings)), joined(texts, "; "),
                     data.empty() ? "" : "|", joined(data, " "));
}

}  // namespace uvdo
