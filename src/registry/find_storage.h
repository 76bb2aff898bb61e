// SPDX-License-Identifier: GPL-2.0-or-later
// Where the disk or file of a volume is, by its UUID.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "registry/named_volume.h"

namespace uvdo {

/// The UUID of the volume at `path`. not_found: there is no VDO volume; others: it cannot be read.
/// No lock is needed or taken: also of a volume in use.
Result<Uuid> uuid_at(const std::string& path);

/// A path of the same storage that stays when disks change their names: a link in /dev/disk/by-id
/// if there is one, else /dev/mapper/NAME of a mapped device, else the absolute path itself.
[[nodiscard]] std::string lasting_path(const std::string& path);

struct FoundStorage {
  std::string path;
  bool has_moved = false;  ///< it is not where the file of the volume says
};
/// Where a volume is: at the path that its file names, if the volume with its UUID is there; else
/// on the block device that has it, or in a file near the old one: in its folder, or at the same
/// path of a file system that is mounted elsewhere now; such a file, and its folder, must be
/// writable to root and this user alone. not_found: nowhere; exists: at several
/// places, and the recorded one is neither.
Result<FoundStorage> find_storage(const NamedVolume& volume);

struct ScannedVolume {
  std::string path;  ///< lasting_path()
  Uuid uuid{};
};
/// The VDO volumes on the block devices of this machine: not on those that the kernel or uvdo makes
/// of volumes. Devices that are suspended or do not answer in time are left out.
[[nodiscard]] std::vector<ScannedVolume> scan_disks();

}  // namespace uvdo
