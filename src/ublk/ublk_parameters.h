// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel is told of a device, and what it tells of one that exists.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "ublk/ublk_abi.h"

namespace uvdo {

struct UblkAttributes {
  std::uint64_t size = 0;                  ///< bytes; a multiple of the logical block
  std::uint32_t logical_block_size = 512;  ///< bytes; 512 or 4096
  std::uint32_t io_optimum = 1U << 20U;    ///< bytes; a power of two of 4 KiB up to 1 MiB
  std::uint32_t max_io_bytes = 1U << 20U;  ///< of a request with data; a multiple of 4 KiB
  bool is_read_only = false;
  /// Writes may be answered before they are stable; the kernel then sends flushes.
  bool has_volatile_cache = true;

  friend bool operator==(const UblkAttributes&, const UblkAttributes&) = default;
};

/// invalid_argument, in the words of those who set them, if the driver would not take them.
Result<ublk::Parameters> encode_parameters(const UblkAttributes& attributes);
/// corrupt if they are not of a device that encode_parameters() can have made.
Result<UblkAttributes> decode_parameters(const ublk::Parameters& parameters);

}  // namespace uvdo
