// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/device_users.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file_descriptor.h"
#include "base/printable.h"
#include "device/folder_entries.h"
#include "device/mount_table.h"
#include "device/storage_user.h"

namespace uvdo {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// Whether a process, by its folder in /proc, is udev's: it looks for a moment at each device on
/// which somebody has written, such as one that has just been unmounted, and takes no harm when it
/// goes.
bool is_udev(const std::filesystem::path& process) {
  std::ifstream in(process / "comm");
  std::string name;
  std::getline(in, name);
  return name == "(udev-worker)" || name == "systemd-udevd" || name == "udevd";
}

}  // namespace

std::vector<StorageId> DeviceUsers::with_partitions(const StorageId& id) const {
  std::vector<StorageId> all{id};
  if (id.kind != StorageId::Kind::block) return all;
  for (const dev_t part : map_.partitions_of(id.device)) {
    all.push_back({StorageId::Kind::block, part, 0});
  }
  return all;
}

std::vector<std::string> DeviceUsers::of(const StorageId& id) const {
  std::vector<std::string> users;
  for (const std::string& place : mounts_of(id)) users.push_back("mounted on " + printable(place));
  for (const StorageId& each : with_partitions(id)) {
    if (each.kind == StorageId::Kind::block) {
      for (const std::string& holder : map_.holders_of(each.device)) {
        users.push_back("held by " + printable(holder));
      }
    } else {
      for (const std::string& loop : map_.loops_over(each)) {
        users.push_back("used by " + printable(loop));
      }
    }
    add_swap(each, users);
    add_processes(each, users);
  }
  if (users.empty() && is_claimed(id)) {
    users.emplace_back("kept by the kernel, perhaps mounted in another namespace");
  }
  return users;
}

std::vector<std::string> DeviceUsers::last_of(const StorageId& id) const {
  std::vector<std::string> users;
  std::vector<StorageId> all{id};
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const std::string& place : mounts_of(all[i])) {
      users.push_back("mounted on " + printable(place));
    }
    bool is_held = false;
    for (const StorageId& each : with_partitions(all[i])) {
      add_swap(each, users);
      add_processes(each, users);
      if (each.kind != StorageId::Kind::block) continue;
      for (const std::string& holder : map_.holders_of(each.device)) {
        is_held = true;
        const auto above = StorageId::at("/dev/" + holder);
        if (above && std::ranges::find(all, *above) == all.end()) all.push_back(*above);
      }
    }
    // A file system that is being unmounted is no mount any more, and still writes.
    if (!is_held && is_claimed(all[i])) users.emplace_back("kept by the kernel");
  }
  return users;
}

/// The kernel lets nobody have a device for himself of which a part is mounted, or kept otherwise.
bool DeviceUsers::is_claimed(const StorageId& id) const {
  if (id.kind != StorageId::Kind::block) return false;
  const std::string node = map_.node_of(id.device);
  if (node.empty()) return false;
  const FileDescriptor file(open(node.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC));
  return !file && errno == EBUSY;
}

std::vector<std::string> DeviceUsers::mounts_of(const StorageId& id) const {
  std::vector<std::string> places;
  if (id.kind != StorageId::Kind::block) return places;
  const auto devices = with_partitions(id);
  for (const MountEntry& mount : mounts_now(proc_)) {
    const bool is_of_device = std::ranges::any_of(devices, [&](const StorageId& device) {
      // A file system of several devices (btrfs) has a number of its own: its source tells then.
      return mount.device == device.device ||
             (mount.source.starts_with("/dev/") && StorageId::at(mount.source) == device);
    });
    if (is_of_device) places.push_back(mount.place);
  }
  return places;
}

void DeviceUsers::add_swap(const StorageId& id, std::vector<std::string>& users) const {
  std::ifstream in(proc_ + "/swaps");
  std::string line;
  std::getline(in, line);  // the head of the table
  while (std::getline(in, line)) {
    const std::string path = line.substr(0, line.find_first_of(" \t"));
    if (StorageId::at(path) == id) users.emplace_back("in use as swap");
  }
}

void DeviceUsers::add_processes(const StorageId& id, std::vector<std::string>& users) const {
  for (const auto& process : entries_of(proc_)) {
    const std::string pid = process.filename();
    if (!is_number(pid) || pid == std::to_string(getpid())) continue;
    const auto files = entries_of(process / "fd");
    const bool has_it =
        std::ranges::any_of(files, [&](const auto& file) { return StorageId::at(file) == id; });
    if (has_it && !is_udev(process)) {
      users.push_back("open in " + process_text(static_cast<pid_t>(std::stoi(pid))));
    }
  }
}

}  // namespace uvdo
