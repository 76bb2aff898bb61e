// SPDX-License-Identifier: GPL-2.0-or-later
// Advice: what the deduplication index stores with a record name, namely where such a block is
// (volume.md, 8). A hint: the block it names is read and compared before it is used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "format/block_mapping.h"

namespace uvdo {

inline constexpr std::size_t kAdviceSize = 16;
inline constexpr std::uint8_t kAdviceVersion = 2;

using AdviceBytes = std::array<std::byte, kAdviceSize>;

/// The advice for a mapping to a block or a fragment; unused bytes are 0.
[[nodiscard]] constexpr AdviceBytes encode_advice(BlockMapping mapping) {
  AdviceBytes bytes{};
  store_u8(bytes.data(), kAdviceVersion);
  store_u8(bytes.data() + 1, mapping.state);
  store_le64(bytes.data() + 2, mapping.pbn.value());
  return bytes;
}

/// The mapping that the 16 bytes name; nothing if they are of another version, or no mapping of a
/// block. Whether the PBN is a data block is for the depot to say.
[[nodiscard]] constexpr std::optional<BlockMapping> decode_advice(const std::byte* bytes16) {
  if (load_u8(bytes16) != kAdviceVersion) return std::nullopt;
  const BlockMapping mapping{Pbn{load_le64(bytes16 + 2)}, load_u8(bytes16 + 1)};
  if (!mapping.valid() || mapping.is_zero()) return std::nullopt;
  return mapping;
}

}  // namespace uvdo
