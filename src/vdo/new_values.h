// SPDX-License-Identifier: GPL-2.0-or-later
// What the options of a command line make of the settings of a volume.
#pragma once

#include <optional>
#include <string>

#include "vdo/command_line.h"
#include "vdo/settings.h"

namespace uvdo {

/// The settings of a new volume. invalid_argument: they do not go together.
Result<SettingValues> new_values(const VdoRequest& request);

/// `values` with what the options change. invalid_argument: they would not go together.
Result<SettingValues> changed_values(const VdoRequest& request, SettingValues values);

/// The level of --vdoLogLevel as uvdo serve names it; nothing if it was not given.
[[nodiscard]] std::optional<std::string> server_log_level(const VdoRequest& request);

}  // namespace uvdo
