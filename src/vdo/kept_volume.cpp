// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/kept_volume.h"

#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/core.h>

#include "base/first_line.h"
#include "control/statistics_message.h"
#include "format/uuid_text.h"
#include "manage/named_volume.h"
#include "vdo/found_volume.h"

namespace uvdo {
namespace {

constexpr std::string_view kUuidPrefix = "VDO-";
constexpr std::string_view kServerOfValues = "running-server";
constexpr std::string_view kValueInUse = "running-";

/// What the tables of a named volume, or options of uvdo serve, have in other words.
constexpr std::array<std::string_view, 10> kSaidElsewhere{"_operationState",
                                                          "name",
                                                          "device",
                                                          "activated",
                                                          "uuid",
                                                          "compression",
                                                          "deduplication",
                                                          "blockMapCacheSize",
                                                          "blockMapPeriod",
                                                          "logicalBlockSize"};

bool is_said_elsewhere(std::string_view key) {
  return std::ranges::find(kSaidElsewhere, key) != kSaidElsewhere.end();
}

/// What a volume gets when it is registered and its user may change from then on.
constexpr std::array<std::string_view, 3> kOnlyOfNewOnes{"attach", "device-name", "mapper-name"};

std::vector<SettingChange> changes_to(const OptionTable& table) {
  std::vector<SettingChange> changes;
  for (const auto& [key, value] : table.entries()) {
    if (std::ranges::find(kOnlyOfNewOnes, key) == kOnlyOfNewOnes.end()) {
      changes.push_back({key, value});
    }
  }
  return changes;
}

Result<NamedVolume> register_volume(const Registry& registry, const FoundVolume& found,
                                    NamedVolume wanted) {
  if (registry.has(wanted.name)) {
    return Error(Errc::exists, fmt::format("the name {} is that of another volume of uvdo ({})",
                                           wanted.name, registry.path_of(wanted.name)));
  }
  if (found.storage == FoundVolume::Storage::other && found.uuid) {
    return Error(Errc::not_found, fmt::format("the volume with the UUID {} is not at {}",
                                              to_text(*found.uuid), found.path));
  }
  return adopt_volume(registry, {found.path, std::move(wanted)});
}

}  // namespace

std::string vdo_uuid_text(const Uuid& uuid) { return std::string(kUuidPrefix) + to_text(uuid); }

std::optional<Uuid> uuid_of_vdo(const std::string& text) {
  return uuid_of(text.starts_with(kUuidPrefix) ? text.substr(kUuidPrefix.size()) : text);
}

NamedVolume named_volume_of(const std::string& name, const SettingValues& values) {
  constexpr std::uint64_t kWholeBlocks = 4096;
  NamedVolume volume;
  volume.name = name;
  volume.is_activated = is_enabled(values, "activated");
  OptionTable& serve = volume.serve;
  serve.set("attach", std::vector<std::string>{"auto"});
  serve.set("device-name", name);
  serve.set("mapper-name", name);
  serve.set("compression", is_enabled(values, "compression"));
  serve.set("deduplication", is_enabled(values, "deduplication"));
  serve.set("write-through", text_setting(values, "writePolicy") == "sync");
  serve.set("cache", text_setting(values, "blockMapCacheSize"));
  serve.set("era-length", static_cast<std::int64_t>(number_setting(values, "blockMapPeriod")));
  const bool has_whole_blocks = number_setting(values, "logicalBlockSize") == kWholeBlocks;
  serve.set("minimum-io", std::int64_t{has_whole_blocks ? 4096 : 512});
  for (const auto& [key, value] : values) {
    const Setting* setting = setting_of_key(key);
    if (setting == nullptr || is_said_elsewhere(key)) continue;
    if (setting->kind == Setting::Kind::number) {
      volume.vdo.set(key, static_cast<std::int64_t>(number_setting(values, key)));
    } else {
      volume.vdo.set(key, value);
    }
  }
  return volume;
}

Result<NamedVolume> keep_in_registry(const Registry& registry, const std::string& name,
                                     const SettingValues& values) {
  NamedVolume wanted = named_volume_of(name, values);
  auto found = volume_of(registry, name, values);
  if (!found) return std::move(found).error();
  if (!found->named) return register_volume(registry, *found, std::move(wanted));
  if (found->named->name != name) {
    return Error(Errc::exists,
                 fmt::format("VDO volume {} is the volume \"{}\" of uvdo; uvdo remove --keep {} "
                             "takes that name from it and leaves the volume as it is",
                             name, found->named->name, found->named->name));
  }
  auto modified =
      modify_named_volume(registry, name, {changes_to(wanted.serve), changes_to(wanted.vdo)});
  if (!modified) return std::move(modified).error();
  auto activated = set_activated(registry, name, wanted.is_activated);
  if (!activated) return std::move(activated).error();
  if (modified->not_set) return std::move(*modified->not_set);
  return std::move(modified->volume);
}

Result<VolumeStatistics> running_statistics(const ServedVolume& served) {
  // With `activity` nobody waits until savings are counted, which no label of vdo tells.
  auto answer = served.ask(StatisticsRequest{.activity = true});
  if (!answer) return std::move(answer).error();
  return std::move(answer->statistics);
}

std::string best_path(const std::vector<AttachedDevice>& devices) {
  if (devices.empty()) return {};
  const AttachedDevice& device = devices.front();
  if (!device.mapper_link.empty()) return device.mapper_link;
  return device.link.empty() ? device.path : device.link;
}

std::string start_of_server(std::uint64_t pid) {
  constexpr int kStartBehindName = 20;  // proc(5): field 22, and the name is field 2
  const std::string line = first_line(fmt::format("/proc/{}/stat", pid));
  const std::size_t end_of_name = line.rfind(')');
  std::istringstream fields(end_of_name == std::string::npos ? "" : line.substr(end_of_name + 1));
  std::string field;
  for (int i = 0; i < kStartBehindName; ++i) fields >> field;
  return fmt::format("{}@{}", pid, fields ? field : "");
}

SettingValues values_in_use(const NamedVolume& volume, const std::string& server) {
  SettingValues values;
  if (volume.vdo.text(kServerOfValues) != server) return values;
  for (const auto& [key, value] : volume.vdo.entries()) {
    if (!key.starts_with(kValueInUse) || key == kServerOfValues) continue;
    values[key.substr(kValueInUse.size())] = to_text(value);
  }
  return values;
}

void note_values_in_use(NamedVolume& volume, const std::string& server, const SettingValues& before,
                        const SettingValues& after) {
  const SettingValues known = values_in_use(volume, server);
  if (known.empty()) {
    // Those of a server that has ended.
    std::vector<std::string> old;
    for (const auto& [key, value] : volume.vdo.entries()) {
      if (key.starts_with(kValueInUse)) old.push_back(key);
    }
    for (const std::string& key : old) volume.vdo.erase(key);
  }
  volume.vdo.set(kServerOfValues, server);
  for (const auto& [key, value] : after) {
    if (known.contains(key) || text_setting(before, key) == value) continue;
    volume.vdo.set(std::string(kValueInUse) + key, text_setting(before, key));
  }
}

}  // namespace uvdo
