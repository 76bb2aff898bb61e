// SPDX-License-Identifier: GPL-2.0-or-later
// The volumes that are in use on this machine, whoever serves them, as vdostats names them.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "device/mapped_devices.h"
#include "manage/servers.h"
#include "registry/registry.h"
#include "statistics/statistics.h"

namespace uvdo {

/// A volume that somebody serves: Linux's driver, or a server of uvdo.
class RunningVolume {
 public:
  explicit RunningVolume(MappedDevice device);
  explicit RunningVolume(RunningServer server);

  /// The bare name of its device, "archive"; of one without a device its path.
  [[nodiscard]] const std::string& name() const { return name_; }
  /// best_path() of its devices.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Whether `word` is a name of it: the bare name or a path of its device, or a path of the file
  /// or disk beneath a volume of uvdo.
  [[nodiscard]] bool is_called(const std::string& word) const;
  /// Asks who serves it.
  [[nodiscard]] Result<VolumeStatistics> statistics() const;

 private:
  std::variant<MappedDevice, RunningServer> source_;
  std::string name_;
  std::string path_;
};

struct RunningVolumes {
  std::vector<RunningVolume> volumes{};  ///< by their paths
  std::vector<Error> silent{};           ///< why some are not among them
};
/// Those that this user may see; for root, all.
[[nodiscard]] RunningVolumes running_volumes();

/// The one that `word` is a name of: RunningVolume::is_called(), or else by the name that the
/// registry has for its storage. Null: none.
[[nodiscard]] const RunningVolume* find_running(const RunningVolumes& running,
                                                const std::string& word, const Registry& registry);

}  // namespace uvdo
