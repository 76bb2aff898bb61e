// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume is, as JSON: `uvdo info` of a stopped volume and of one in use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "volume/volume.h"

namespace uvdo {

/// What neither geometry nor super block tell.
struct VolumeFacts {
  std::string name;
  std::uint64_t device_bytes = 0;
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;
  std::uint64_t slabs_never_used = 0;
  std::optional<std::uint64_t> slabs_dirty;  ///< as the disk says; of stopped volumes
};

[[nodiscard]] Json describe_volume(const VolumeGeometry& geometry, const SuperBlock& super_block,
                                   const VolumeFacts& facts);

/// The same of a volume in use, with its mode.
[[nodiscard]] Json describe_volume(const Volume& volume, const std::string& name);

}  // namespace uvdo
