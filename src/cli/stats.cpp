// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo stats: the table of vdostats, all counters, or JSON; and where the space went.
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/print.h"
#include "cli/advice.h"
#include "cli/command.h"
#include "cli/served_volume.h"
#include "cli/stats_watch.h"
#include "cli/volume_name.h"
#include "cli/without_journal.h"
#include "manage/look.h"
#include "statistics/statistics_text.h"
#include "watch/statistics_json.h"

namespace uvdo {

namespace {

enum class StatsForm : std::uint8_t { table, list, json };

/// `errors`: what is added, of a volume whose statistics are not all, or that has none.
void print_json(std::span<const NamedStatistics> all, const Json& errors) {
  auto object = Json::object();
  for (const auto& [name, statistics] : all) object[name] = to_json(statistics);
  for (const auto& [name, error] : errors.items()) object[name].update(error);
  print("{}\n", json_text(object, 2));
}

void print_list(std::span<const NamedStatistics> all) {
  for (const auto& [name, statistics] : all) {
    print("{}\n{}\n", statistics_list(name, statistics), savings_text(statistics));
  }
}

void print_table(std::span<const NamedStatistics> all, TableUnits units) {
  if (all.empty()) return;
  print("{}", statistics_table(all, units));
  for (const auto& [name, statistics] : all) {
    print("\n{}{}", all.size() > 1 ? name + ": " : "", savings_text(statistics));
  }
}

/// Of all volumes that can be read; what is wrong with the others is told. `served` says how their
/// servers are asked.
int show_statistics(const std::vector<std::string>& volumes, ServedVolume served, StatsForm form,
                    TableUnits units, bool without_journal) {
  std::vector<NamedStatistics> all;
  auto errors = Json::object();
  const auto note = [&errors](const std::string& name, const Error& error) {
    add_error(errors[name], error);
  };
  for (const std::string& volume : volumes) {
    auto path = volume_path(volume, VolumeUse::tell);
    if (path) served.volume = *path;
    auto statistics = path ? volume_statistics(served, {.replay = !without_journal}, advice_on)
                           : path.error().clone();
    if (statistics) {
      if (statistics->left_out) warn(fmt::format("{}: {}", *path, *statistics->left_out));
      if (statistics->problem) {
        note(*path, {Errc::corrupt, fmt::format("{}: {}", *path, *statistics->problem)});
      }
      all.push_back({std::move(*path), std::move(statistics->statistics)});
      continue;
    }
    // Of several volumes those that can be read are shown, and the error is told beside them.
    if (volumes.size() == 1) return fail(statistics.error());
    note(volume, statistics.error());
  }
  switch (form) {
    case StatsForm::table: print_table(all, units); break;
    case StatsForm::list: print_list(all); break;
    case StatsForm::json: print_json(all, errors); break;
  }
  return errors.empty() ? kExitOk : kExitFailed;
}

}  // namespace

int run_stats(int argc, char** argv) {
  std::vector<std::string> volumes;
  ServedVolumeOptions served;
  bool human = false;
  bool si = false;
  bool verbose = false;
  bool json = false;
  bool without_journal = false;
  Arguments app("Shows space used and saved, and all counters of volumes.", "uvdo stats");
  app.option("VOLUME", volumes, "names, files or block devices of volumes, or MAJOR:MINOR")
      .required();
  auto human_flag = app.flag("--human-readable", human, "sizes like 1.5G, by powers of 1024");
  app.flag("--si", si, "sizes like 1.5G, by powers of 1000").excludes(human_flag);
  auto verbose_flag = app.flag("-v,--verbose,--all", verbose, "every statistic, a line each");
  app.flag("--json", json,
           "every statistic as JSON, under the kernel's names; with --watch, an object a line")
      .excludes(verbose_flag);
  std::string watch;
  std::uint64_t count = 0;
  auto watch_option =
      app.option("--watch", watch, "a line of rates every so many seconds, until interrupted");
  app.option("--count", count, "with --watch: end after so many lines").needs(watch_option);
  app.flag(kWithoutJournal, without_journal, kWithoutJournalHelp);
  served.add_server_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (!served.control.empty() && volumes.size() != 1) {
    return usage_error("--control belongs to one volume; name only that");
  }

  if (!watch.empty()) {
    auto interval = parse_interval(watch);
    if (!interval) return usage_error("--watch: " + interval.error().message());
    if (volumes.size() != 1 || verbose || human || si) {
      return usage_error("--watch takes one volume, and no other form of output than --json");
    }
    auto path = volume_path(volumes[0], VolumeUse::tell);
    if (!path) return usage_error(path.error().message());
    served.volume = *path;
    return watch_statistics(served.given(), *interval, count,
                            json ? WatchForm::json : WatchForm::text);
  }
  const StatsForm form = json ? StatsForm::json : verbose ? StatsForm::list : StatsForm::table;
  const TableUnits units = si ? TableUnits::si : human ? TableUnits::binary : TableUnits::kib;
  return show_statistics(volumes, served.given(), form, units, without_journal);
}

}  // namespace uvdo
