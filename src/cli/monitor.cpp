// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo monitor: one word, a sentence and figures of volumes, for Nagios and what understands its
// plugins.
#include "watch/monitor.h"

#include <string>
#include <vector>

#include <fmt/core.h>

#include "arguments/version.h"
#include "base/print.h"
#include "cli/served_volume.h"
#include "cli/volume_name.h"
#include "control/statistics_message.h"
#include "control/status_message.h"
#include "manage/servers.h"

namespace uvdo {
namespace {

constexpr int kExitUnknown = static_cast<int>(Verdict::unknown);

/// Of a server that does not answer, or cannot be asked.
MonitorFinding finding_of(std::string name, const Error& error) {
  switch (error.code()) {
    case Errc::not_found:
    case Errc::busy: return {std::move(name), Verdict::critical, error.message()};
    default: return {std::move(name), Verdict::unknown, error.message()};
  }
}

/// `server` is asked: a ServedVolume or a RunningServer.
template <class Server>
MonitorFinding look_at(std::string name, const Server& server, const MonitorLimits& limits) {
  auto status = server.ask(StatusRequest());
  if (!status) return finding_of(std::move(name), status.error());
  auto statistics = server.ask(StatisticsRequest());
  if (!statistics) return finding_of(std::move(name), statistics.error());
  return judge(
      {std::move(name), std::move(statistics->statistics), std::move(status->health.troubles)},
      limits);
}

std::vector<MonitorFinding> look_at_all(const MonitorLimits& limits,
                                        std::chrono::milliseconds patience) {
  std::vector<MonitorFinding> findings;
  const RunningServers running = running_servers(patience);
  for (const RunningServer& server : running.servers) {
    findings.push_back(look_at(server.hello.volume, server, limits));
  }
  for (const Error& error : running.silent) findings.push_back(finding_of("a server", error));
  return findings;
}

}  // namespace

int run_monitor(int argc, char** argv) {
  std::vector<std::string> volumes;
  ServedVolumeOptions served;
  bool is_nagios = false;
  std::string physical = "80,95";
  std::string logical = "none";
  std::string savings = "none";
  Arguments app(
      "Tells a monitoring system whether served volumes are well; for root, of all users.",
      "uvdo monitor");
  app.option(
      "VOLUME", volumes,
      "names of volumes, files or block devices that hold them, or MAJOR:MINOR; default: all "
      "that are served");
  app.flag("--nagios", is_nagios, "one line with figures, as plugins of Nagios print it");
  app.option("--physical", physical, "WARNING,CRITICAL: percent of the room for data used; or none")
      .show_default();
  app.option("--logical", logical,
             "WARNING,CRITICAL: percent of the logical space written; or none")
      .show_default();
  app.option("--savings", savings,
             "WARNING,CRITICAL: percent saved of what was written, or less; or none")
      .show_default();
  served.add_server_to(app);
  // What a monitoring system shows is standard output, and 2 is "critical" to it.
  const auto complain = [](std::string_view message) {
    usage_error(message);
    print("UVDO {} - {}\n", name_of(Verdict::unknown), printable(message));
    return kExitUnknown;
  };
  app.version(fmt::format("uvdo {}", kVersion));
  if (auto status = app.parse(argc, argv, complain)) return *status;
  if (!served.control.empty() && volumes.size() != 1) {
    return complain("--control belongs to one volume; name only that");
  }
  MonitorLimits limits;
  struct Given {
    const char* option;
    const std::string& text;
    LimitDirection direction;
    std::optional<PercentLimits>& limits;
  };
  for (const Given& given :
       {Given{"--physical", physical, LimitDirection::upwards, limits.physical},
        Given{"--logical", logical, LimitDirection::upwards, limits.logical},
        Given{"--savings", savings, LimitDirection::downwards, limits.savings}}) {
    auto parsed = parse_percent_limits(given.text, given.direction);
    if (!parsed) return complain(fmt::format("{}: {}", given.option, parsed.error().message()));
    given.limits = *parsed;
  }

  std::vector<MonitorFinding> findings;
  for (const std::string& volume : volumes) {
    auto path = volume_path(volume, VolumeUse::tell);
    if (path) served.volume = *path;
    findings.push_back(path ? look_at(volume, served.given(), limits)
                            : finding_of(volume, path.error()));
  }
  if (volumes.empty()) findings = look_at_all(limits, served.given().patience);
  if (is_nagios) {
    const auto names = volumes.size() == 1 ? FigureNames::short_names : FigureNames::with_volume;
    print("{}\n", nagios_line(findings, names));
  } else {
    for (const MonitorFinding& finding : findings) {
      print("{:<8} {}: {}\n", name_of(finding.verdict), printable(finding.name),
            printable(finding.text));
    }
    if (findings.empty()) print("{:<8} no volume is being served\n", name_of(Verdict::unknown));
  }
  return static_cast<int>(gravest(findings));
}

}  // namespace uvdo
