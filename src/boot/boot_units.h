// SPDX-License-Identifier: GPL-2.0-or-later
// What systemd has to know of a named volume beside the unit uvdo@.service, and that only the
// volume's file tells: what must be there before its server starts, which device mounts wait for,
// and what starts it. All of it is made of the file alone; no disk is looked at.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "registry/named_volume.h"

namespace uvdo {

/// A file, by its path in the generator's folder.
struct UnitFile {
  std::string path;
  std::string text;
  friend bool operator==(const UnitFile&, const UnitFile&) = default;
};
/// A symbolic link "UNIT.wants/SERVICE": when `unit` is started or, a device, waited for, the
/// service is started too.
struct UnitLink {
  std::string path;
  std::string target;
  friend bool operator==(const UnitLink&, const UnitLink&) = default;
};
struct BootUnits {
  std::vector<UnitFile> files{};
  std::vector<UnitLink> links{};
};

/// `source` is the volume's file, `program` the absolute path of uvdo. Only an activated volume is
/// started by anything. invalid_argument: a path that would be more than a value in a unit's file.
[[nodiscard]] Result<BootUnits> boot_units_of(const NamedVolume& volume, const std::string& source,
                                              const std::string& program);

}  // namespace uvdo
