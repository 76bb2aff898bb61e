// SPDX-License-Identifier: GPL-2.0-or-later
// The layout of a new volume, and of one that grows: pure arithmetic from sizes to the geometry
// block and the super block (behaviour.md, 2 and 12).
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "format/index_memory.h"
#include "format/super_block.h"
#include "format/uuid.h"
#include "format/volume_geometry.h"

namespace uvdo {

/// What is asked of a new volume.
struct FormatRequest {
  std::uint64_t device_bytes = 0;
  unsigned slab_bits = 19;   ///< 13 .. 23
  bool small_slabs = false;  ///< 8 .. 12 too, as old tools did: small volumes for tests
  IndexMemory index_memory = kQuarterGigabyte;
  bool sparse = false;
  std::optional<std::uint64_t> logical_bytes;  ///< a multiple of 4096; by default what fits
  std::uint64_t nonce = 0;                     ///< microseconds since 1970
  Uuid uuid{};
};

struct VolumeLayout {
  VolumeGeometry geometry;
  SuperBlock super_block;
  friend bool operator==(const VolumeLayout&, const VolumeLayout&) = default;
};

/// Blocks that a device needs at least for a volume with one slab.
Result<std::uint64_t> minimum_physical_blocks(unsigned slab_bits, IndexMemory memory, bool sparse);

/// Lays out a new volume. invalid_argument: a parameter is out of its limits; no_space: the device
/// is too small (the message says how much is needed).
Result<VolumeLayout> make_volume_layout(const FormatRequest& request);

/// The size beyond which a volume cannot grow: 8192 slabs, 2^36 blocks.
[[nodiscard]] std::uint64_t largest_physical_blocks(const SuperBlock& current);

/// The super block of the volume with `blocks` less behind its last slab: the journal and the
/// summary lie that much earlier; sizes and places only. invalid_argument: there are not so many
/// that belong to no slab.
Result<SuperBlock> shortened_layout(const VolumeGeometry& geometry, const SuperBlock& current,
                                    std::uint64_t blocks);

/// The super block after growth to `physical_blocks`: sizes and places only; the caller copies the
/// journal and the summary to their new partitions before it writes this. invalid_argument: too
/// few blocks or too many slabs.
Result<SuperBlock> grown_layout(const VolumeGeometry& geometry, const SuperBlock& current,
                                std::uint64_t physical_blocks);

/// The super block with a larger logical size. invalid_argument: smaller, or too large.
Result<SuperBlock> grown_logical(const SuperBlock& current, std::uint64_t logical_blocks);

}  // namespace uvdo
