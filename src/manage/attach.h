// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes as block devices of this machine: asks their servers, and starts one where there is none.
#pragma once

#include <string>
#include <vector>

#include "control/device_message.h"
#include "manage/served_volume.h"
#include "manage/servers.h"

namespace uvdo {

/// How a server is started for a device, if the volume has none.
struct ServerStart {
  std::string log_file{};              ///< empty: default_log_file()
  std::vector<std::string> options{};  ///< of uvdo serve, besides
  bool takes_storage_over = false;     ///< shuts the server on another machine out before
};

/// Makes a device of a volume; its server, if one is started for it, ends with its last device. The
/// device is ready when this returns: its name in /dev is there, and udev has looked at it. Errors:
/// those of the server, or what a server that did not start has said.
Result<AttachedDevice> attach_volume(const ServedVolume& served, const AttachRequest& request,
                                     const ServerStart& start);

/// Where the server of `volume` writes its log: /var/log/uvdo for root, else in the user's state
/// folder.
[[nodiscard]] std::string default_log_file(const std::string& volume);

/// Whether `what` is a name, path or link of the device.
[[nodiscard]] bool is_meant(const AttachedDevice& device, const std::string& what);

/// A device as its server knows it.
struct FoundDevice {
  RunningServer server;
  AttachedDevice device;
};
/// The devices that `what` means: one by its name, path or link, or all of the volume at `what`. An
/// error if there are none.
Result<std::vector<FoundDevice>> find_devices(const std::string& what);

/// Takes a device away, and waits for the end of a server that ends with it. With DetachMode::force
/// what is mounted of it is unmounted before, as far as that can be done without waiting. False: it
/// goes when nobody uses it any more. busy: somebody uses it.
Result<bool> detach_device(const FoundDevice& found, DetachMode mode);

}  // namespace uvdo
