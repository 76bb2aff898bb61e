// SPDX-License-Identifier: GPL-2.0-or-later
// The YAML of `vdo status`, as other programs parse it.
#pragma once

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>

#include "statistics/statistics.h"
#include "vdo/settings.h"

namespace uvdo {

/// What the status says of a volume.
struct StatusVolume {
  SettingValues values;  ///< of the configuration file
  /// Values that are in use, where those of the file wait for the next start; shown only if they
  /// were asked for.
  SettingValues in_use{};
  std::string node{};                            ///< of its storage: "/dev/sdc"
  std::string path{};                            ///< of its device; empty: it has none
  std::optional<VolumeStatistics> statistics{};  ///< none: it is stopped, or cannot be asked
};

struct VdoStatus {
  std::time_t now = 0;
  std::string node;  ///< of the machine
  std::string version;
  std::string conf_file;
  std::optional<std::time_t> conf_changed{};  ///< none: there is no such file
  std::map<std::string, StatusVolume> volumes{};
};

/// Times are those of the zone of this process.
[[nodiscard]] std::string status_yaml(const VdoStatus& status);

/// The line that the kernel's driver would tell of a running volume.
[[nodiscard]] std::string device_mapper_status(const StatusVolume& volume,
                                               const VolumeStatistics& statistics);

}  // namespace uvdo
