// SPDX-License-Identifier: GPL-2.0-or-later
// The subcommands that talk to the server of a volume: set, flush and stop.
#include <string>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/command.h"
#include "serve/control_client.h"
#include "serve/control_path.h"

namespace uvdo {
namespace {

using Json = nlohmann::ordered_json;

Result<bool> parse_switch(const std::string& key, const std::string& value) {
  if (value == "on") return true;
  if (value == "off") return false;
  return Error(Errc::invalid_argument,
               fmt::format("{} is set to on or off, not \"{}\"", key, value));
}

}  // namespace

int run_set(int argc, char** argv) {
  std::string volume;
  std::vector<std::string> settings;
  CLI::App app("Changes switches of a volume that is being served.", "uvdo set");
  app.add_option("VOLUME", volume, "the volume's file or block device")->required();
  app.add_option("KEY=VALUE", settings, "compression=on|off, deduplication=on|off")->required();
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  Json request = {{"command", "set"}};
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return usage_error(fmt::format("\"{}\" is not of the form KEY=VALUE", setting));
    }
    const std::string key = setting.substr(0, equals);
    auto on = parse_switch(key, setting.substr(equals + 1));
    if (!on) return usage_error(on.error().message());
    request[key] = *on;
  }
  auto answer = ask_volume(volume, request);
  if (!answer) return fail(answer.error());
  for (const auto& [key, value] : answer->items()) {
    fmt::print("{}: {}\n", key, value.get<bool>() ? "on" : "off");
  }
  return kExitOk;
}

int run_flush(int argc, char** argv) {
  std::string volume;
  CLI::App app("Makes everything that was written to a served volume stable.", "uvdo flush");
  app.add_option("VOLUME", volume, "the volume's file or block device")->required();
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = ask_volume(volume, {{"command", "flush"}});
  return answer ? kExitOk : fail(answer.error());
}

int run_stop(int argc, char** argv) {
  std::string volume;
  CLI::App app("Stops the server of a volume and waits until the volume is saved.", "uvdo stop");
  app.add_option("VOLUME", volume, "the volume's file or block device")->required();
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto path = control_path_of(volume);
  if (!path) return fail(path.error());
  auto answer = ask_volume(volume, {{"command", "stop"}});
  if (!answer) return fail(answer.error());
  // The server answers until the volume has been saved.
  while (ask_server(*path, {{"command", "stats"}})) usleep(20'000);
  return kExitOk;
}

}  // namespace uvdo
