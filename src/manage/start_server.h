// SPDX-License-Identifier: GPL-2.0-or-later
// Starting a server in the background, and what of the machine its devices need.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/device_message.h"

namespace uvdo {

/// Runs this program with `words`, "serve" and its arguments, so that it goes on in the background
/// with its log in `log_name`, whose folder is made, or in the journal (kJournal). Returns when the
/// server is ready; an error is what a server that did not start has said.
Result<void> start_server_in_background(std::vector<std::string> words,
                                        const std::string& log_name);

/// Loads the kernel's driver for devices of that kind, where it is a module and this is root.
/// Without a kind that of the best one. What comes of it shows when a device is made.
void load_device_driver(std::optional<DeviceKind> kind);

/// Waits until udev has done what it does with a new device, where there is udev.
void wait_for_udev();

}  // namespace uvdo
