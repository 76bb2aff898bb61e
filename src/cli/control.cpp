// SPDX-License-Identifier: GPL-2.0-or-later
// The subcommands that talk to the server of a volume: set, flush and stop.
#include <string>

#include <fmt/format.h>

#include "cli/command.h"
#include "serve/control_client.h"

namespace uvdo {
namespace {

using Json = nlohmann::ordered_json;

Result<bool> parse_switch(const std::string& key, const std::string& value) {
  if (value == "on") return true;
  if (value == "off") return false;
  return Error(Errc::invalid_argument,
               fmt::format("{} is set to on or off, not \"{}\"", key, value));
}

/// What every command here takes.
struct Server {
  std::string volume;
  std::string control;

  void add_to(CLI::App& app) {
    app.add_option("VOLUME", volume, "the volume's file or block device")->required();
    app.add_option("--control", control, "the control socket that uvdo serve was given");
  }
  [[nodiscard]] Result<Json> ask(const Json& request) const {
    return ask_volume(volume, request, control);
  }
};

}  // namespace

int run_set(int argc, char** argv) {
  Server server;
  std::vector<std::string> settings;
  CLI::App app("Changes switches of a volume that is being served.", "uvdo set");
  server.add_to(app);
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
  auto answer = server.ask(request);
  if (!answer) return fail(answer.error());
  for (const auto& [key, value] : answer->items()) {
    fmt::print("{}: {}\n", key, value.get<bool>() ? "on" : "off");
  }
  return kExitOk;
}

int run_flush(int argc, char** argv) {
  Server server;
  CLI::App app("Makes everything that was written to a served volume stable.", "uvdo flush");
  server.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = server.ask({{"command", "flush"}});
  return answer ? kExitOk : fail(answer.error());
}

int run_stop(int argc, char** argv) {
  Server server;
  CLI::App app("Stops the server of a volume and waits until the volume is saved.", "uvdo stop");
  server.add_to(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto answer = server.ask({{"command", "stop"}});
  if (!answer) return fail(answer.error());
  wait_until_free(server.volume);  // so that what follows finds the volume unused
  return kExitOk;
}

}  // namespace uvdo
