// SPDX-License-Identifier: GPL-2.0-or-later
// What LVM's description of a volume group (the text that vgcfgbackup writes) says of a VDO pool:
// on which disks its data lie, and where in the pool its logical volumes are. Pure: text in, values
// out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace uvdo {

/// A run of bytes of a logical volume.
struct LvmRun {
  std::uint64_t start = 0;  ///< in the logical volume, bytes
  std::uint64_t length = 0;
  std::uint64_t offset = 0;  ///< in the logical space of the pool's VDO volume, bytes
  friend bool operator==(const LvmRun&, const LvmRun&) = default;
};

struct LvmLogicalVolume {
  std::string name;
  std::vector<LvmRun> runs;  ///< in their order; those that follow each other in the pool are one
};

struct LvmPool {
  std::string group;
  std::string name;
  std::string data;  ///< the logical volume that holds the VDO volume
  std::vector<LvmLogicalVolume> volumes;
};

/// The pool `name` of the group that `text` describes. not_found: there is no VDO pool of that
/// name; unsupported: its data lie otherwise than in plain runs (on a RAID or a cache of LVM);
/// invalid_argument: the text is of another form.
Result<LvmPool> parse_lvm_pool(std::string_view text, const std::string& name);

}  // namespace uvdo
