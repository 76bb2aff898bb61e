// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/named_arguments.h"

#include <fmt/core.h>

#include "base/print.h"

namespace uvdo {

void NamedArguments::add_to(Arguments& app, const std::string& all) {
  auto name = app.option("NAME", names_, "names of volumes");
  app.flag("--all", all_, all).excludes(name);
}

int NamedArguments::for_each(const Registry& registry,
                             const std::function<int(const std::string& name)>& act,
                             const std::function<bool(const NamedVolume&)>& is_meant) const {
  if (!all_ && names_.empty()) return usage_error("name a volume, or give --all");
  std::vector<std::string> names = names_;
  int status = kExitOk;
  if (all_) {
    const NamedVolumes found = registry.all();
    for (const Error& each : found.unreadable) status = fail(each);
    for (const NamedVolume& volume : found.volumes) {
      if (is_meant(volume)) names.push_back(volume.name);
    }
  }
  for (const std::string& name : names) {
    if (const int ended = act(name); ended != kExitOk) status = ended;
  }
  return status;
}

void tell_moved(const NamedVolume& volume, const std::optional<std::string>& moved_from) {
  if (!moved_from) return;
  warn(fmt::format("the volume \"{}\" has moved from {} to {}", volume.name, *moved_from,
                   volume.storage));
}

void print_devices(const StartedVolume& started) {
  for (const AttachedDevice& device : started.devices) {
    print("{}\n", device.link.empty() ? device.path : device.link);
  }
}

Json started_json(const StartedVolume& started) {
  Json json = {{"name", started.volume.name},
               {"uuid", to_text(started.volume.uuid)},
               {"volume", started.volume.storage},
               {"wasRunning", started.was_running}};
  json["devices"] = Json::array();
  for (const AttachedDevice& device : started.devices) {
    json["devices"].push_back(fields_json(device));
  }
  return json;
}

}  // namespace uvdo
