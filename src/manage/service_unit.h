// SPDX-License-Identifier: GPL-2.0-or-later
// The unit of systemd that a server runs in.
#pragma once

#include <optional>
#include <string>

#include <sys/types.h>

#include "base/result.h"

namespace uvdo {

/// The name of the unit of a named volume (uvdo@NAME.service) that the process belongs to; none if
/// it belongs to none. `root` is where /proc lies.
[[nodiscard]] std::optional<std::string> service_unit_of(pid_t pid, const std::string& root = "");

/// Has systemd start it anew; returns when it is ready again. An error is what systemctl has said.
Result<void> restart_unit(const std::string& unit);

}  // namespace uvdo
