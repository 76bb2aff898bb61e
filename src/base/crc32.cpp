// SPDX-License-Identifier: GPL-2.0-or-later
// VDO's CRC-32, computed by zlib.
#include "base/crc32.h"

#include <zlib.h>

namespace uvdo {

std::uint32_t vdo_crc32(ConstBytes bytes) {
  // zlib inverts the register on the way in and out: this seed makes it start at 0.
  constexpr unsigned long kSeed = 0xFFFFFFFF;
  return static_cast<std::uint32_t>(
      crc32_z(kSeed, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

}  // namespace uvdo
