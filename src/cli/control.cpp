// SPDX-License-Identifier: GPL-2.0-or-later
// The subcommands that ask the server of a volume for something: set, index, flush, dump,
// log-level and stop.
#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/log.h"
#include "base/print.h"
#include "cli/parameter.h"
#include "cli/serve_options.h"
#include "cli/served_volume.h"
#include "cli/volume_name.h"
#include "control/index_message.h"
#include "control/server_messages.h"
#include "control/settings_message.h"
#include "manage/named_volume.h"
#include "manage/stop.h"

namespace uvdo {
namespace {

/// "compression=on" as a part of the request.
Result<void> add_setting(SetRequest& request, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  if (equals == std::string::npos) {
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" is not of the form KEY=VALUE, as in compression=on", setting));
  }
  const std::string key = setting.substr(0, equals);
  const std::string value = setting.substr(equals + 1);
  // Of two values for one key it would be left to chance which is meant.
  const Error twice(Errc::invalid_argument, fmt::format("{} is set twice", key));
  if (key == SetRequest::kNoSpaceTimeout) {
    if (request.no_space_timeout) return twice.clone();
    auto seconds = parse_parameter(key, value, kNoSpaceTimeout);
    if (!seconds) return std::move(seconds).error();
    request.no_space_timeout = std::chrono::seconds(*seconds);
    return {};
  }
  std::optional<bool>* const chosen = key == SetRequest::kCompression     ? &request.compression
                                      : key == SetRequest::kDeduplication ? &request.deduplication
                                      : key == SetRequest::kWriteThrough  ? &request.write_through
                                                                          : nullptr;
  if (chosen == nullptr) {
    return Error(Errc::invalid_argument,
                 fmt::format("there is no \"{}\" to be set; there are {}, {}, {} and {}", key,
                             SetRequest::kCompression, SetRequest::kDeduplication,
                             SetRequest::kWriteThrough, SetRequest::kNoSpaceTimeout));
  }
  if (*chosen) return twice.clone();
  auto on = parse_switch(key, value);
  if (!on) return std::move(on).error();
  *chosen = *on;
  return {};
}

/// Stops the one volume that `word` calls; the exit status.
int stop_one(const Registry& registry, const std::string& word, ServedVolume asked, bool force) {
  auto name = volume_name_of(word);
  if (!name) return usage_error(name.error().message());
  if (*name) {
    auto stopped = stop_named_volume(registry, **name, {force, std::move(asked)});
    if (!stopped) return fail(stopped.error());
    if (*stopped) return kExitOk;
    return fail(fmt::format("{} is not being served", word), Errc::not_found);
  }
  auto path = volume_path(word, VolumeUse::change);
  if (!path) return usage_error(path.error().message());
  asked.volume = std::move(*path);
  auto stopped = stop_server(asked, force);
  return stopped ? kExitOk : fail(stopped.error());
}

}  // namespace

int run_set(int argc, char** argv) {
  ServedVolumeOptions served;
  std::vector<std::string> settings;
  Arguments app("Changes switches of a volume that is being served.", "uvdo set");
  served.add_to(app);
  app.option(
         "KEY=VALUE", settings,
         "compression=on|off, deduplication=on|off, write-through=on|off, no-space-timeout=SECONDS")
      .required();
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  SetRequest request;
  for (const std::string& setting : settings) {
    if (auto added = add_setting(request, setting); !added) {
      return usage_error(added.error().message());
    }
  }
  auto answer = served.ask(request);
  if (!answer) return fail(answer.error());
  // The answer has all settings, under the names by which they are set.
  const Json now = fields_json(*answer);
  for (const auto& [key, value] : now.items()) {
    if (value.is_boolean()) {
      print("{}: {}\n", key, value.get<bool>() ? "on" : "off");
    } else {
      print("{}: {}\n", key, json_text(value));
    }
  }
  return kExitOk;
}

int run_index(int argc, char** argv) {
  ServedVolumeOptions served;
  std::string action;
  Arguments app("Closes, opens, switches or makes anew the deduplication index of a served volume.",
                "uvdo index");
  app.option("ACTION", action, "create, close, enable or disable").required();
  served.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  const auto what = index_action_of(action);
  if (!what) {
    return usage_error(fmt::format(
        "what to do with the index is create, close, enable or disable, not \"{}\"", action));
  }
  auto answer = served.ask(IndexRequest{*what});
  if (!answer) return fail(answer.error());
  print("index: {}\n", answer->state);
  return kExitOk;
}

int run_flush(int argc, char** argv) {
  ServedVolumeOptions served;
  Arguments app("Makes everything that was written to a served volume stable.", "uvdo flush");
  served.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = served.ask(FlushRequest());
  return answer ? kExitOk : fail(answer.error());
}

int run_dump(int argc, char** argv) {
  ServedVolumeOptions served;
  Arguments app("Prints the inside of a served volume as JSON, to look for the cause of something.",
                "uvdo dump");
  served.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = served.ask(DumpRequest());
  if (!answer) return fail(answer.error());
  print("{}\n", json_text(*answer, 2));
  return kExitOk;
}

int run_log_level(int argc, char** argv) {
  ServedVolumeOptions served;
  std::string level;
  Arguments app("Shows or changes how much the server of a volume logs.", "uvdo log-level");
  served.add_to(app);
  app.option("LEVEL", level, "error, warning, notice, info or debug: that and what is graver");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  LogLevelRequest request;
  if (!level.empty()) {
    if (auto parsed = parse_log_level(level); !parsed) {
      return usage_error(parsed.error().message());
    }
    request.level = level;
  }
  auto answer = served.ask(request);
  if (!answer) return fail(answer.error());
  print("log level: {}\n", answer->level);
  return kExitOk;
}

int run_stop(int argc, char** argv) {
  ServedVolumeOptions served;
  bool all = false;
  bool force = false;
  Arguments app("Stops the server of a volume and waits until the volume is saved.", "uvdo stop");
  // A name stays one: what is stopped is the volume, wherever it is.
  std::string word;
  auto volume = app.option("VOLUME", word,
                           "the volume's name, its file or block device, MAJOR:MINOR, or NBD URI");
  served.add_server_to(app);
  app.flag("--all", all, "all named volumes that run").excludes(volume);
  app.flag("--force", force, "also while a block device of uvdo attach is used, which then fails");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (!all && word.empty()) return usage_error("name a volume, or give --all");
  const Registry registry = Registry::of_environment();
  if (!all) return stop_one(registry, word, served.given(), force);
  const NamedVolumes named = registry.all();
  int status = kExitOk;
  for (const Error& each : named.unreadable) status = fail(each);
  for (const NamedVolume& each : named.volumes) {
    auto stopped = stop_named_volume(registry, each.name, {force, {}});
    if (!stopped) status = fail(stopped.error().within(each.name));
  }
  return status;
}

}  // namespace uvdo
