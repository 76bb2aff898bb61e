// SPDX-License-Identifier: GPL-2.0-or-later
// The verbs that only tell: list, status, printConfigFile and version. They lock nothing.
#include <array>
#include <filesystem>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments/version.h"
#include "base/print.h"
#include "control/device_message.h"
#include "control/hello_message.h"
#include "manage/look.h"
#include "vdo/found_volume.h"
#include "vdo/kept_volume.h"
#include "vdo/status_yaml.h"
#include "vdo/verbs.h"
#include "vdo/volume_work.h"

namespace uvdo {
namespace {

/// Nothing: it cannot be read, and the user was told.
std::optional<Configuration> configuration_of(const VdoRequest& request, const Messages& messages) {
  auto configuration = read_configuration(request.conf_file);
  if (!configuration) {
    messages.error(configuration.error().message());
    return std::nullopt;
  }
  if (configuration->version != kConfVersion) {
    messages.warn(fmt::format("{} is of version {}, which this program knows only by chance",
                              request.conf_file, configuration->version));
  }
  return std::move(*configuration);
}

/// What the volume itself says of its index, where the file may have been edited.
void read_index_settings(const ServedVolume& served, SettingValues& values) {
  auto described = describe_volume(served, {.replay = false});
  if (!described) return;
  values["indexMemory"] = described->description.index.memory;
  values["indexSparse"] = on_off_text(described->description.index.is_sparse);
}

/// Where links lead; the path itself if there is nothing.
std::string node_of(const std::string& path) {
  std::error_code error;
  const auto found = std::filesystem::canonical(path, error);
  return error ? path : found.string();
}

StatusVolume status_of(const std::string& name, const SettingValues& values, bool shows_pending) {
  const Registry registry = Registry::of_environment();
  StatusVolume status{.values = values};
  status.node = node_of(text_setting(values, "device"));
  // Who may not ask gets the rest all the same.
  auto found = volume_of(registry, name, values);
  if (!found) return status;
  status.node = node_of(found->path);
  if (found->is_there()) read_index_settings(ServedVolume{found->path}, status.values);
  auto server = found->server();
  if (!server || !*server) return status;
  auto statistics = running_statistics(**server);
  if (!statistics) return status;
  status.statistics = std::move(*statistics);
  if (auto devices = (*server)->ask(DevicesRequest())) status.path = best_path(devices->devices);
  auto hello = (*server)->ask(HelloRequest());
  if (shows_pending && found->named && hello) {
    status.in_use = values_in_use(*found->named, start_of_server(hello->pid));
  }
  return status;
}

std::string machine_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

}  // namespace

ExitStatus vdo_version(const VdoRequest& /*request*/, const Messages& /*messages*/) {
  print("{}\n", kVersion);
  return ExitStatus::success;
}

ExitStatus vdo_print_config_file(const VdoRequest& request, const Messages& messages) {
  const auto configuration = configuration_of(request, messages);
  if (!configuration) return ExitStatus::processing;
  print("{}", configuration_text(*configuration));
  return ExitStatus::success;
}

ExitStatus vdo_list(const VdoRequest& request, const Messages& messages) {
  const auto configuration = configuration_of(request, messages);
  if (!configuration) return ExitStatus::processing;
  const Registry registry = Registry::of_environment();
  ExitStatus status = ExitStatus::success;
  for (const auto& [name, volume] : configuration->volumes) {
    if (request.all) {
      print("{}\n", name);
      continue;
    }
    auto found = volume_of(registry, name, volume.values);
    auto server =
        found ? found->server() : Result<std::optional<ServedVolume>>(std::move(found).error());
    if (server && *server) print("{}\n", name);
    if (server) continue;
    status =
        tell(messages, failure(ExitStatus::system, "Could not ask for " + name, server.error()));
  }
  return status;
}

ExitStatus vdo_status(const VdoRequest& request, const Messages& messages) {
  const auto configuration = configuration_of(request, messages);
  if (!configuration) return ExitStatus::processing;
  VdoStatus status{.now = std::time(nullptr),
                   .node = machine_name(),
                   .version = std::string(kVersion),
                   .conf_file = request.conf_file};
  struct stat file {};
  if (stat(request.conf_file.c_str(), &file) == 0) status.conf_changed = file.st_mtime;
  for (const auto& [name, volume] : configuration->volumes) {
    if (!request.name.empty() && name != request.name) continue;
    status.volumes[name] = status_of(name, volume.values, request.has("--pending"));
  }
  if (!request.name.empty() && status.volumes.empty()) {
    return tell(messages, volume_not_found(request.name));
  }
  print("{}", status_yaml(status));
  return ExitStatus::success;
}

}  // namespace uvdo
