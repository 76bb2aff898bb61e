// SPDX-License-Identifier: GPL-2.0-or-later
// The memory size of the deduplication index, as the geometry block stores it (volume.md, 3;
// index.md, 2): gigabytes as a positive number, quarters as -256, -512, -768.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// A raw value; it may be one that no index has. compute_index_geometry() decides.
struct IndexMemory {
  std::int32_t value = -256;
  friend bool operator==(IndexMemory, IndexMemory) = default;
};

inline constexpr IndexMemory kQuarterGigabyte{-256};
inline constexpr IndexMemory kHalfGigabyte{-512};
inline constexpr IndexMemory kThreeQuartersGigabyte{-768};

/// The size that people write as "0.25", "0.5", "0.75", "1" ... "1024" (gigabytes).
Result<IndexMemory> parse_index_memory(std::string_view text);

/// The same in the other direction; "reduced 0.25" for an index that gave up a chapter.
[[nodiscard]] std::string to_text(IndexMemory memory);

}  // namespace uvdo
