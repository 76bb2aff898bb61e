// SPDX-License-Identifier: GPL-2.0-or-later
// The checksum of the geometry block and of the super block: CRC-32 with the usual polynomial but
// a register that starts at 0 (volume.md, 1). zlib calls that a seed of 0xFFFFFFFF.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace uvdo {

/// CRC-32 of `bytes` as VDO computes it: 0xD202D277 for "123456789".
[[nodiscard]] std::uint32_t vdo_crc32(ConstBytes bytes);

}  // namespace uvdo
