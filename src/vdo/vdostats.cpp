// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/vdostats.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "arguments/abbreviation.h"
#include "arguments/arguments.h"
#include "arguments/version.h"
#include "base/print.h"
#include "statistics/statistics_text.h"
#include "vdo/vdostats_volumes.h"

namespace uvdo {
namespace {

constexpr int kExitShown = 0;
constexpr int kExitNotShown = 1;
constexpr int kExitUsage = 2;
/// Whose vdostats this is, where --form does not say so.
constexpr const char* kFormVariable = "VDOSTATS_FORM";

int fail(const Error& error) {
  print_error("vdostats: {}\n", printable(error.message()));
  return kExitNotShown;
}

int usage_error(std::string_view message) {
  print_error("vdostats: {}\n", printable(message));
  return kExitUsage;
}

std::optional<VdostatsForm> form_of(std::string_view word) {
  if (word == "6") return VdostatsForm::v6;
  if (word == "8") return VdostatsForm::v8;
  return std::nullopt;
}

struct Options {
  bool human = false;
  bool si = false;
  bool verbose = false;
  std::string form;
  std::vector<std::string> devices;
};

TableUnits units_of(const Options& options, VdostatsForm form) {
  // In VDO 8 --si implies --human-readable; in VDO 6 it is nothing without that.
  const bool is_human = options.human || (options.si && form == VdostatsForm::v8);
  if (!is_human) return TableUnits::kib;
  return options.si ? TableUnits::si : TableUnits::binary;
}

/// Collects what is shown, and tells what cannot be.
class Report {
 public:
  /// `name` is what the volume is shown as.
  void add(const RunningVolume& volume, std::string name) {
    auto statistics = volume.statistics();
    if (statistics) {
      shown_.push_back({std::move(name), std::move(*statistics)});
    } else {
      add(std::move(statistics).error().within(name));
    }
  }
  void add(const Error& error) { status_ = fail(error); }
  void print_as(const Options& options, VdostatsForm form) const {
    if (!options.verbose) {
      print("{}", statistics_table(shown_, units_of(options, form), form));
      return;
    }
    for (const auto& [name, statistics] : shown_) {
      print("{}", statistics_list(name, statistics, form));
    }
  }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool is_empty() const { return shown_.empty(); }

 private:
  std::vector<NamedStatistics> shown_;
  int status_ = kExitShown;
};

int show(const Options& options, VdostatsForm form) {
  const RunningVolumes running = running_volumes();
  const Registry registry = Registry::of_environment();
  Report report;
  for (const std::string& word : options.devices) {
    if (const RunningVolume* found = find_running(running, word, registry)) {
      report.add(*found, word);
      continue;
    }
    report.add(Error(Errc::not_found,
                     fmt::format("{} is no running VDO volume that this user may see; vdostats "
                                 "without names shows those that are",
                                 word)));
  }
  if (options.devices.empty()) {
    for (const RunningVolume& volume : running.volumes) {
      report.add(volume, form == VdostatsForm::v6 ? volume.path() : volume.name());
    }
  }
  // Of who names what is shown, servers that are silent are no business unless it is one of them.
  if (options.devices.empty() || report.status() != kExitShown) {
    for (const Error& error : running.silent) report.add(error);
  }
  if (!report.is_empty() || report.status() == kExitShown) report.print_as(options, form);
  return report.status();
}

}  // namespace

int run_vdostats(int argc, char** argv) {
  Options options;
  if (const char* form = std::getenv(kFormVariable); form != nullptr) options.form = form;
  if (options.form.empty()) options.form = "6";
  Arguments app(
      "Shows space used and saved of running VDO volumes: those of uvdo, and those of Linux's own "
      "driver.",
      "vdostats");
  app.flag("--human-readable", options.human, "sizes like 1.5G, by powers of 1024");
  app.flag("--si", options.si,
           "with --human-readable: by powers of 1000 (in form 8 it needs no --human-readable)");
  app.flag("-v,--verbose,-a,--all", options.verbose, "every statistic, a line each");
  app.option("--form", options.form,
             "the layout of VDO 6 or of VDO 8; default: the variable VDOSTATS_FORM, else 6");
  app.option("DEVICE", options.devices,
             "names or paths of running volumes; default: all that there are");
  app.version(fmt::format("vdostats version is: {}", kVersion), "-V,--version");
  auto words = with_full_options(app, {argv + 1, argv + argc});
  if (!words) return usage_error(words.error().message());
  std::vector<char*> pointers{argv[0]};
  for (std::string& word : *words) pointers.push_back(word.data());
  int status = kExitShown;
  if (auto ended = app.parse(static_cast<int>(pointers.size()), pointers.data())) {
    status = *ended;
  } else if (const auto form = form_of(options.form)) {
    status = show(options, *form);
  } else {
    return usage_error(
        fmt::format("--form and {} are 6 or 8, not \"{}\"", kFormVariable, options.form));
  }
  const auto arrived = finish_output();
  return arrived ? status : fail(arrived.error());
}

}  // namespace uvdo
