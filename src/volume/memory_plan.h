// SPDX-License-Identifier: GPL-2.0-or-later
// How much memory a volume takes at most; this can be told before it is opened.
#pragma once

#include <cstdint>

#include "format/super_block.h"
#include "format/volume_geometry.h"

namespace uvdo {

/// Bytes by what they are for, when everything is in use.
struct MemoryPlan {
  std::uint64_t block_map_cache = 0;
  std::uint64_t block_map_tree = 0;  ///< interior pages of a map that is filled
  std::uint64_t reference_counts = 0;
  std::uint64_t index = 0;
  std::uint64_t buffers = 0;  ///< data in flight
  std::uint64_t pools = 0;    ///< writes under way, the packer, buffers of the volume itself
  std::uint64_t other = 0;    ///< the program, what belongs to requests, rings
  [[nodiscard]] std::uint64_t total() const {
    return block_map_cache + block_map_tree + reference_counts + index + buffers + pools + other;
  }
};

struct VolumeOptions;

[[nodiscard]] MemoryPlan plan_memory(const VolumeOptions& options, const VolumeGeometry& geometry,
                                     const SuperBlock& super_block);

}  // namespace uvdo
