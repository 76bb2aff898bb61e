// SPDX-License-Identifier: GPL-2.0-or-later
// Where a volume of vdo's configuration file is, and which volume of the registry it is. Names and
// paths may be those of another volume by now: the UUID tells.
#pragma once

#include <optional>
#include <string>

#include "format/uuid.h"
#include "manage/served_volume.h"
#include "registry/registry.h"
#include "vdo/settings.h"

namespace uvdo {

/// A value: what was found when it was looked for.
struct FoundVolume {
  enum class Storage : std::uint8_t {
    there,  ///< the volume is at `path`
    away,   ///< it is not to be found, or cannot be read
    other,  ///< what is at `path` is another volume, or none
  };
  std::optional<NamedVolume> named{};  ///< of the registry, under whatever name
  std::optional<Uuid> uuid{};          ///< nothing: neither the file nor the storage tells
  std::string path;                    ///< where it is, or should be
  Storage storage = Storage::away;

  [[nodiscard]] bool is_there() const { return storage == Storage::there; }
  /// How its server is asked; nothing: nobody serves it. Who serves another volume at this path is
  /// not its server.
  [[nodiscard]] Result<std::optional<ServedVolume>> server() const;
};

/// The volume `name` of the configuration file: by the UUID that its values tell; without one it is
/// the volume at their device. An error: it is at several places, or must not be looked for.
[[nodiscard]] Result<FoundVolume> volume_of(const Registry& registry, const std::string& name,
                                            const SettingValues& values);

/// The same. not_found: it is not there; the error says where it should be.
[[nodiscard]] Result<FoundVolume> volume_that_is_there(const Registry& registry,
                                                       const std::string& name,
                                                       const SettingValues& values);

/// Whether both are paths of one block device or file.
[[nodiscard]] bool is_same_storage(const std::string& a, const std::string& b);

}  // namespace uvdo
