// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/new_values.h"

#include <fmt/core.h>

#include "vdo/kept_volume.h"

namespace uvdo {

Result<SettingValues> changed_values(const VdoRequest& request, SettingValues values) {
  for (const auto& [option, value] : request.options) {
    if (option == "--emulate512") {
      values["logicalBlockSize"] = value == on_off_text(true) ? "512" : "4096";
    } else if (option == "--uuid" && !value.empty() && !uuid_of_vdo(value)) {
      return Error(Errc::invalid_argument, fmt::format("--uuid: \"{}\" is no UUID", value));
    } else if (const Setting* setting = setting_of_option(option); !setting->key.empty()) {
      values[std::string(setting->key)] = value;
    }
  }
  if (auto fits = check_together(values); !fits) return std::move(fits).error();
  return values;
}

Result<SettingValues> new_values(const VdoRequest& request) {
  SettingValues values = default_settings();
  values["name"] = request.name;
  return changed_values(request, std::move(values));
}

std::optional<std::string> server_log_level(const VdoRequest& request) {
  auto level = request.option("--vdoLogLevel");
  // uvdo has no level above errors.
  if (level == "critical") return "error";
  return level;
}

}  // namespace uvdo
