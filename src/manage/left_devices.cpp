// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/left_devices.h"

#include <algorithm>
#include <filesystem>

#include <fmt/core.h>
#include <sys/mount.h>
#include <unistd.h>

#include "control/attachment_state.h"
#include "control/control_client.h"
#include "control/control_path.h"
#include "device/device_users.h"
#include "device/folder_entries.h"
#include "fuse/fuse_block_device.h"
#include "manage/attach.h"
#include "net/descriptor_keeper.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

bool has_server(const std::string& control) {
  const auto connection = ControlConnection::open(control, kAnswerPatience, geteuid());
  return connection || connection.error().code() != Errc::not_found;
}

fs::path mount_point_of(const LeftDevice& left) {
  if (left.device.kind == DeviceKind::file) return fs::path(left.device.path).parent_path();
  return fs::path(device_folder_of(left.control)) / left.device.name;
}

/// Has nobody hold the mount's descriptor any more, so that all that waits for it fails.
Result<void> let_go_of(const LeftDevice& left) {
  auto keeper = DescriptorKeeper::reach(keeper_socket_of(left.control));
  if (keeper) {
    auto forgotten = keeper->forget(kept_mount_of(left.device.name));
    if (!forgotten) return forgotten;
  }
  // The service manager may have it as well: to unmount by force ends the connection for all.
  if (geteuid() == 0 && umount2(mount_point_of(left).c_str(), MNT_FORCE | UMOUNT_NOFOLLOW) != 0) {
    return {};  // busy, as a loop device uses it, or gone with its descriptor
  }
  return {};
}

Result<void> remove_mount(const LeftDevice& left) {
  const fs::path place = mount_point_of(left);
  if (left.device.kind == DeviceKind::fuse) {
    return FuseBlockDevice::remove_remains(place, left.device.name);
  }
  auto unmounted = unmount_remains(place);
  std::error_code ignored;
  if (unmounted && place.parent_path() == device_folder_of(left.control)) {
    fs::remove(place, ignored);
  }
  return unmounted;
}

}  // namespace

std::vector<LeftDevice> find_left_devices(const std::string& what) {
  const auto of_volume = control_paths_of(what);  // if it is a volume's path
  std::vector<LeftDevice> found;
  for (const fs::path& entry : entries_of(control_folder())) {
    if (entry.extension() != ".devices") continue;
    const std::string control = fs::path(entry).replace_extension(".control");
    std::string volume_id;
    auto devices = AttachmentState::load_any(entry, volume_id);
    if (!devices || has_server(control)) continue;
    const bool is_of_volume =
        of_volume && std::ranges::find(*of_volume, control) != of_volume->end();
    for (AttachedDevice& device : *devices) {
      if (is_of_volume || is_meant(device, what)) found.push_back({control, std::move(device)});
    }
  }
  return found;
}

Result<void> end_left_device(const LeftDevice& left) {
  if (left.device.kind != DeviceKind::fuse && left.device.kind != DeviceKind::file) {
    return Error(
        Errc::unsupported,
        fmt::format("the server of {} has died: start one of its volume (uvdo attach, uvdo "
                    "serve), which takes the device over, and detach it then",
                    left.device.path));
  }
  // First of all, as the rest may wait for the device.
  if (auto done = let_go_of(left); !done) return done;
  if (const auto id = StorageId::at(left.device.path)) {
    for (const std::string& place : DeviceUsers().mounts_of(*id)) {
      umount2(place.c_str(), MNT_DETACH);
    }
  }
  if (auto removed = remove_mount(left); !removed) return removed;
  if (!left.device.link.empty()) unlink(left.device.link.c_str());
  std::string volume_id;
  const std::string state = device_state_of(left.control);
  auto devices = AttachmentState::load_any(state, volume_id);
  if (!devices) return std::move(devices).error();
  std::erase_if(*devices, [&](const auto& each) { return each.name == left.device.name; });
  return AttachmentState(state, volume_id).save(*devices);
}

}  // namespace uvdo
