// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/attach.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <fmt/core.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/absolute_path.h"
#include "base/store_name.h"
#include "control/server_messages.h"
#include "device/device_users.h"
#include "device/open_device.h"
#include "manage/start_server.h"
#include "manage/stopped_volume.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

Result<void> start_server(const ServedVolume& served, const ServerStart& start) {
  if (start.takes_storage_over) {
    if (auto taken = take_over_device(served.volume); !taken) return taken;
  }
  // What is no volume is said before anything is made for a server of it.
  if (auto looked = open_volume(served.volume, {.replay = false}); !looked) {
    return std::move(looked).error();
  }
  const std::string log_file =
      start.log_file.empty() ? default_log_file(served.volume) : start.log_file;
  std::vector<std::string> words{"serve", absolute_path(served.volume), "--until-detached"};
  if (!served.control.empty()) {
    words.insert(words.end(), {"--control", absolute_path(served.control)});
  }
  words.insert(words.end(), start.options.begin(), start.options.end());
  return start_server_in_background(std::move(words), log_file);
}

}  // namespace

bool is_meant(const AttachedDevice& device, const std::string& what) {
  if (what == device.name || what == device.path || what == device.link) return true;
  std::error_code error;
  return what.find('/') != std::string::npos && fs::equivalent(what, device.path, error);
}

std::string default_log_file(const std::string& volume) {
  const std::string name =
      (is_path(volume) ? fs::path(volume).stem().string() : file_name_of_store(volume)) + ".log";
  if (geteuid() == 0) return "/var/log/uvdo/" + name;
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return fmt::format("{}/uvdo/{}", state, name);
  const char* home = std::getenv("HOME");
  return fmt::format("{}/.local/state/uvdo/{}", home != nullptr ? home : "/tmp", name);
}

Result<AttachedDevice> attach_volume(const ServedVolume& served, const AttachRequest& request,
                                     const ServerStart& start) {
  load_device_driver(request.kind);
  auto made = served.ask(request);
  if (!made && made.error().code() == Errc::not_found) {
    auto started = start_server(served, start);
    if (!started) return std::move(started).error();
    made = served.ask(request);
    if (!made) {
      // Who started it for a device that cannot be had does not leave it behind.
      if (auto stopped = served.ask(StopRequest()); !stopped) return std::move(stopped).error();
      wait_until_free(served.volume);
      return made;
    }
  }
  if (made) wait_for_udev();
  return made;
}

Result<std::vector<FoundDevice>> find_devices(const std::string& what) {
  const RunningServers running = running_servers();
  std::vector<FoundDevice> found;
  for (const RunningServer& server : running.servers) {
    for (const AttachedDevice& device : server.devices.devices) {
      if (is_meant(device, what)) found.push_back({server, device});
    }
  }
  if (!found.empty()) return found;
  std::error_code error;
  for (const RunningServer& server : running.servers) {
    if (store_key(server.hello.volume) != store_key(absolute_path(what)) &&
        !fs::equivalent(server.hello.volume, what, error)) {
      continue;
    }
    for (const AttachedDevice& device : server.devices.devices) found.push_back({server, device});
  }
  if (!found.empty()) return found;
  std::string silent;
  for (const Error& each : running.silent) silent += "; " + each.message();
  return Error(Errc::not_found, fmt::format("there is no device {} of a volume, and no volume {} "
                                            "with devices; uvdo list tells which there are{}",
                                            what, what, silent));
}

Result<bool> detach_device(const FoundDevice& found, DetachMode mode) {
  if (mode == DetachMode::force) {
    const auto id = StorageId::at(found.device.path);
    const auto places = id ? DeviceUsers().mounts_of(*id) : std::vector<std::string>();
    for (const std::string& place : places) umount2(place.c_str(), MNT_DETACH);
  }
  auto answer = found.server.ask(DetachRequest{found.device.name, mode});
  if (!answer) return std::move(answer).error();
  if (!answer->server_ends) return answer->is_gone;
  auto stopped = found.server.ask(StopRequest());  // it is stopping: this waits for how it ends
  if (!stopped && stopped.error().code() != Errc::not_found) return std::move(stopped).error();
  wait_until_free(found.server.hello.volume);
  return true;
}

}  // namespace uvdo
