// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo modify: changes the settings of a named volume.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/print.h"
#include "cli/named_arguments.h"
#include "cli/serve_settings.h"
#include "device/backing_name.h"

namespace uvdo {
namespace {

std::string listed(const std::vector<std::string>& keys) {
  return fmt::format("{}", fmt::join(keys, ", "));
}

void print_report(const ModifyReport& report, bool is_json) {
  if (is_json) {
    Json json = {{"name", report.volume.name},
                 {"changed", report.changed},
                 {"atOnce", report.at_once},
                 {"atNextStart", report.at_next_start}};
    if (report.not_set) add_error(json, *report.not_set);
    print("{}\n", json_text(json, 2));
    return;
  }
  if (report.changed.empty()) print("nothing has changed\n");
  if (!report.at_once.empty()) print("in use now: {}\n", listed(report.at_once));
  if (!report.at_next_start.empty()) {
    print("from the next start on: {}\n", listed(report.at_next_start));
  }
}

}  // namespace

int run_modify(int argc, char** argv) {
  std::string name;
  std::vector<std::string> defaults;
  std::string storage;
  bool json = false;
  Arguments app(
      "Changes settings of a named volume, of uvdo serve, and tells which count at once and which "
      "from its next start on.",
      "uvdo modify");
  app.option("NAME", name, "the volume").required();
  app.option("--default", defaults, "this setting (\"cache\") has its default again (repeatable)")
      .one_value_each();
  app.option("--storage", storage, "where the volume is, if it is not found by itself")
      .transform(backing_store_path);
  app.flag("--json", json, "print JSON");
  const NamedServeSettings settings(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  ModifyOptions options;
  options.check = check_serve_settings;
  const OptionTable given = settings.given(argc, argv);
  for (const auto& [key, value] : given.entries()) options.serve.push_back({key, value});
  for (const std::string& key : defaults) {
    if (!settings.has(key)) {
      return usage_error(fmt::format("there is no setting \"{}\" of uvdo serve", key));
    }
    if (given.find(key) != nullptr) {
      return usage_error(fmt::format("--default {0} and --{0} exclude each other", key));
    }
    options.serve.push_back({key, std::nullopt});
  }
  if (!storage.empty()) options.storage = storage;
  if (options.serve.empty() && !options.storage) {
    return usage_error("say what is to change, as in --cache 1G (see uvdo modify --help)");
  }
  auto report = modify_named_volume(Registry::of_environment(), name, options);
  if (!report) {
    const bool is_wrong = report.error().code() == Errc::invalid_argument;
    return is_wrong ? usage_error(report.error().message()) : fail(report.error());
  }
  print_report(*report, json);
  if (!report->not_set) return kExitOk;
  return json ? kExitFailed : fail(*report->not_set);
}

}  // namespace uvdo
