// SPDX-License-Identifier: GPL-2.0-or-later
// The 20 bytes in front of most parts of the geometry and super block: what follows, in which
// version and of which size (volume.md, 1). Readers demand the exact values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

/// Bytes that an encoded header takes.
inline constexpr std::size_t kComponentHeaderSize = 20;

struct ComponentHeader {
  std::uint32_t id = 0;
  std::uint32_t major_version = 0;
  std::uint32_t minor_version = 0;
  std::uint64_t size = 0;  ///< bytes that follow (the geometry block: all its bytes)
  friend bool operator==(const ComponentHeader&, const ComponentHeader&) = default;
};

/// Writes the 20 bytes.
constexpr void write_component_header(ByteWriter& out, const ComponentHeader& header) {
  out.le32(header.id);
  out.le32(header.major_version);
  out.le32(header.minor_version);
  out.le64(header.size);
}

/// Reads 20 bytes, whatever they say: expect_component_header() judges them.
[[nodiscard]] constexpr ComponentHeader read_component_header(ByteReader& in) {
  ComponentHeader header;
  header.id = in.le32();
  header.major_version = in.le32();
  header.minor_version = in.le32();
  header.size = in.le64();
  return header;
}

/// corrupt or unsupported if `found` is not `wanted`; the error names `what`.
Result<void> expect_component_header(const ComponentHeader& found, const ComponentHeader& wanted,
                                     std::string_view what);

}  // namespace uvdo
