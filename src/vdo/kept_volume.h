// SPDX-License-Identifier: GPL-2.0-or-later
// The named volume of uvdo that stands for a volume of vdo's configuration file: what the one says
// in the words of the other. What the file of vdo says counts; the registry follows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/device_message.h"
#include "manage/served_volume.h"
#include "registry/registry.h"
#include "statistics/statistics.h"
#include "vdo/settings.h"

namespace uvdo {

/// The form in which vdo's file and status have a UUID: "VDO-" before it.
[[nodiscard]] std::string vdo_uuid_text(const Uuid& uuid);
/// In that form, or without the word; nothing if it is none.
[[nodiscard]] std::optional<Uuid> uuid_of_vdo(const std::string& text);

/// The settings as those of a named volume: name, whether it is activated, [serve] and [vdo].
[[nodiscard]] NamedVolume named_volume_of(const std::string& name, const SettingValues& values);

/// Registers the volume if it is not registered, else has its file say what `values` say, but for
/// the names of its devices, which are its user's; a running server takes at once what it can.
/// exists: the name is another volume's, or the volume has another name; not_found: it is not at
/// its device.
Result<NamedVolume> keep_in_registry(const Registry& registry, const std::string& name,
                                     const SettingValues& values);

/// Of a volume that is running.
[[nodiscard]] Result<VolumeStatistics> running_statistics(const ServedVolume& served);

/// The best path of the devices of a volume: in /dev/mapper if there is one, else in /dev/uvdo,
/// else what there is.
[[nodiscard]] std::string best_path(const std::vector<AttachedDevice>& devices);

/// What tells the process of a server apart from all others, also from those that get its number
/// later: the number, and when it has started.
[[nodiscard]] std::string start_of_server(std::uint64_t pid);
/// The values with which a running volume was started, as far as others wait for its next start: by
/// key. `server` is start_of_server().
[[nodiscard]] SettingValues values_in_use(const NamedVolume& volume, const std::string& server);
/// Keeps those that `after` changes, in a volume whose server is running.
void note_values_in_use(NamedVolume& volume, const std::string& server, const SettingValues& before,
                        const SettingValues& after);

}  // namespace uvdo
