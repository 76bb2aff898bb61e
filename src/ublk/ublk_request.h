// SPDX-License-Identifier: GPL-2.0-or-later
// A request of the kernel, from the driver's descriptor of it.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "ublk/ublk_abi.h"

namespace uvdo {

struct UblkRequest {
  enum class Kind : std::uint8_t { read, write, flush, discard, write_zeroes };

  Kind kind = Kind::flush;
  bool fua = false;
  bool keeps_mapped = false;  ///< of write_zeroes: not as a hole
  std::uint64_t offset = 0;   ///< bytes
  std::uint64_t length = 0;   ///< bytes; none of a flush

  [[nodiscard]] bool has_data() const { return kind == Kind::read || kind == Kind::write; }
};

/// What a request may be.
struct UblkLimits {
  std::uint64_t size = 0;          ///< of the volume, bytes
  std::uint32_t max_io_bytes = 0;  ///< of what has data
};

/// Validates: unsupported if it is of a kind that no request can be of, out_of_range if it goes
/// beyond the volume, protocol if its length makes no sense.
Result<UblkRequest> decode_request(const ublk::IoDescriptor& descriptor, const UblkLimits& limits);

/// What the driver is told of a request that has failed: a negative errno for which the kernel has
/// a meaning of its own, which is not to try again.
[[nodiscard]] std::int32_t failure_of(const Error& error);

}  // namespace uvdo
