// SPDX-License-Identifier: GPL-2.0-or-later
// The geometry block: the first block of the device, which says where the index and the volume
// lie and how big the index is (volume.md, 3). Versions 4.0 and 5.0; new volumes are 5.0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/block_types.h"
#include "base/bytes.h"
#include "base/result.h"
#include "format/index_memory.h"
#include "format/uuid.h"

namespace uvdo {

/// Bytes 0 .. 7 of the device of a VDO volume.
inline constexpr char kGeometryMagic[] = "dmvdo001";
/// Encoded sizes, from the magic to the end of the checksum.
inline constexpr std::size_t kGeometrySizeV4 = 93;
inline constexpr std::size_t kGeometrySizeV5 = 101;

struct VolumeGeometry {
  std::uint32_t major_version = 5;  ///< 4 or 5
  std::uint32_t unused = 0;         ///< kept, and copied to the super block on each save
  std::uint64_t nonce = 0;
  Uuid uuid{};
  std::uint64_t bio_offset = 0;  ///< always 0 in version 4
  Pbn index_start{1};
  Pbn data_start;  ///< the super block
  IndexMemory index_memory;
  bool sparse = false;

  [[nodiscard]] std::uint64_t index_blocks() const { return data_start - index_start; }
  friend bool operator==(const VolumeGeometry&, const VolumeGeometry&) = default;
};

/// Fills all 4096 bytes of `block`.
void encode_volume_geometry(const VolumeGeometry& geometry, MutableBytes block);

/// Reads the first block of a device (4096 bytes). not_found: no VDO volume; unsupported: another
/// version; corrupt: checksum, header or regions are wrong.
Result<VolumeGeometry> decode_volume_geometry(ConstBytes block);

}  // namespace uvdo
