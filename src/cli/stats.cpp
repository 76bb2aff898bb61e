// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo stats: the table of vdostats, all counters, or JSON; and where the space went.
#include <string>
#include <vector>

#include "base/print.h"
#include "cli/command.h"
#include "cli/open_volume.h"
#include "cli/served_volume.h"
#include "cli/stats_watch.h"
#include "device/backing_name.h"
#include "serve/statistics_json.h"
#include "volume/statistics_text.h"

namespace uvdo {

namespace {

/// From the volume's server if it has one, else from its disk.
Result<StoppedStatistics> statistics_of(const ServedVolume& served, bool without_journal) {
  auto answer = served.ask({{"command", "stats"}});
  if (answer) {
    auto told = statistics_from_json(*answer);
    if (!told) return std::move(told).error();
    return StoppedStatistics{std::move(*told), std::nullopt};
  }
  if (answer.error().code() == Errc::not_found) {
    return stopped_statistics(served.volume, {.replay = !without_journal});
  }
  return std::move(answer).error();
}

}  // namespace

int run_stats(int argc, char** argv) {
  std::vector<std::string> volumes;
  std::string control;
  bool human = false;
  bool si = false;
  bool verbose = false;
  bool json = false;
  bool without_journal = false;
  Arguments app("Shows space used and saved, and all counters of volumes.", "uvdo stats");
  app.option("VOLUME", volumes, "files or block devices that hold volumes, or MAJOR:MINOR")
      .required()
      .transform(backing_store_path);
  auto human_flag = app.flag("--human-readable", human, "sizes like 1.5G, by powers of 1024");
  app.flag("--si", si, "sizes like 1.5G, by powers of 1000").excludes(human_flag);
  auto verbose_flag = app.flag("-v,--verbose,--all", verbose, "every statistic, a line each");
  app.flag("--json", json, "every statistic as JSON, under the kernel's names")
      .excludes(verbose_flag);
  std::string watch;
  std::uint64_t count = 0;
  auto watch_option =
      app.option("--watch", watch, "a line of rates every so many seconds, until interrupted");
  app.option("--count", count, "with --watch: end after so many lines").needs(watch_option);
  app.flag(kWithoutJournal, without_journal, kWithoutJournalHelp);
  app.option("--control", control, "the control socket that uvdo serve was given");
  AnswerPatience patience;
  patience.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (!control.empty() && volumes.size() != 1) {
    return usage_error("--control belongs to one volume; name only that");
  }

  if (!watch.empty()) {
    auto interval = parse_interval(watch);
    if (!interval) return usage_error("--watch: " + interval.error().message());
    if (volumes.size() != 1 || json || verbose || human || si) {
      return usage_error("--watch takes one volume, and no other form of output");
    }
    return watch_statistics({volumes[0], control, patience}, *interval, count);
  }

  std::vector<NamedStatistics> all;
  int status_of_all = kExitOk;
  for (const std::string& volume : volumes) {
    auto found = statistics_of({volume, control, patience}, without_journal);
    if (!found) return fail(found.error());
    if (found->problem) status_of_all = fail(fmt::format("{}: {}", volume, *found->problem));
    all.push_back({volume, std::move(found->statistics)});
  }
  if (json) {
    auto object = Json::object();
    for (const auto& [name, statistics] : all) object[name] = to_json(statistics);
    print("{}\n", json_text(object, 2));
    return status_of_all;
  }
  if (verbose) {
    for (const auto& [name, statistics] : all) {
      print("{}\n{}\n", statistics_list(name, statistics), savings_text(statistics));
    }
    return status_of_all;
  }
  const TableUnits units = si ? TableUnits::si : human ? TableUnits::binary : TableUnits::kib;
  print("{}", statistics_table(all, units));
  for (const auto& [name, statistics] : all) {
    print("\n{}{}", all.size() > 1 ? name + ": " : "", savings_text(statistics));
  }
  return status_of_all;
}

}  // namespace uvdo
