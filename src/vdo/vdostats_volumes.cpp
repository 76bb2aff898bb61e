// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/vdostats_volumes.h"

#include <algorithm>
#include <filesystem>

#include <fmt/core.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "control/statistics_message.h"
#include "control/volume_identity.h"
#include "device/storage_map.h"
#include "statistics/statistics_text.h"
#include "vdo/found_volume.h"
#include "vdo/kept_volume.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

bool calls_device(const AttachedDevice& device, const std::string& word) {
  if (word.empty()) return false;
  return word == device.name || word == device.path || word == device.link ||
         word == device.mapper_link || word == fs::path(device.mapper_link).filename() ||
         word == fs::path(device.path).filename() || is_same_storage(word, device.path);
}

}  // namespace

RunningVolume::RunningVolume(MappedDevice device)
    : name_(device.name), path_("/dev/mapper/" + device.name) {
  source_ = std::move(device);
}

RunningVolume::RunningVolume(RunningServer server) {
  if (server.devices.devices.empty()) {
    name_ = path_ = server.hello.volume;
  } else {
    // Several are several windows of one volume: the first one stands for it.
    name_ = server.devices.devices.front().name;
    path_ = best_path(server.devices.devices);
  }
  source_ = std::move(server);
}

bool RunningVolume::is_called(const std::string& word) const {
  if (word == name_ || word == path_) return true;
  if (const auto* mapped = std::get_if<MappedDevice>(&source_)) {
    return word == fmt::format("dm-{}", minor(mapped->device)) ||
           StorageId::at(word) == StorageId{StorageId::Kind::block, mapped->device};
  }
  const RunningServer& server = *std::get_if<RunningServer>(&source_);
  return std::ranges::any_of(
             server.devices.devices,
             [&](const AttachedDevice& each) { return calls_device(each, word); }) ||
         is_server_of(server.hello, word);
}

Result<VolumeStatistics> RunningVolume::statistics() const {
  if (const auto* mapped = std::get_if<MappedDevice>(&source_)) {
    const auto message = send_target_message(*mapped, "stats");
    if (!message) return message.error().clone();
    return read_statistics_message(*message);
  }
  auto told = std::get_if<RunningServer>(&source_)->ask(StatisticsRequest());
  if (!told) return std::move(told).error();
  return std::move(told->statistics);
}

RunningVolumes running_volumes() {
  RunningVolumes found;
  auto mapped = mapped_devices("vdo");
  if (mapped) {
    for (MappedDevice& device : *mapped) found.volumes.emplace_back(std::move(device));
  } else if (geteuid() == 0) {  // nobody else may ask the kernel
    found.silent.push_back(std::move(mapped).error());
  }
  RunningServers running = running_servers();
  for (RunningServer& server : running.servers) found.volumes.emplace_back(std::move(server));
  std::ranges::move(running.silent, std::back_inserter(found.silent));
  std::ranges::sort(found.volumes, {}, &RunningVolume::path);
  return found;
}

const RunningVolume* find_running(const RunningVolumes& running, const std::string& word,
                                  const Registry& registry) {
  const auto called = [&](const std::string& name) {
    const auto found = std::ranges::find_if(
        running.volumes, [&](const RunningVolume& each) { return each.is_called(name); });
    return found == running.volumes.end() ? nullptr : &*found;
  };
  if (const RunningVolume* found = called(word)) return found;
  if (!registry.has(word)) return nullptr;
  const auto named = registry.find(word);
  return named ? called(named->storage) : nullptr;
}

}  // namespace uvdo
