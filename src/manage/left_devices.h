// SPDX-License-Identifier: GPL-2.0-or-later
// Devices of this machine whose server has died, and which wait for the next one.
#pragma once

#include <string>
#include <vector>

#include "control/device_message.h"

namespace uvdo {

struct LeftDevice {
  std::string control;  ///< where its server had its control socket
  AttachedDevice device;
};

/// Those that `what` means: one by its name, path or link, or all of the volume at `what`. Only
/// those of this user.
[[nodiscard]] std::vector<LeftDevice> find_left_devices(const std::string& what);

/// Ends one: whoever uses it gets errors instead of waiting. What its server had answered stays
/// with the next server of the volume. unsupported: not of that kind; busy: a server has come.
Result<void> end_left_device(const LeftDevice& left);

}  // namespace uvdo
