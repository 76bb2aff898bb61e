// SPDX-License-Identifier: GPL-2.0-or-later
// Memory sizes of reduced indexes: those that gave up a chapter, as room for LVM (index.md, 2).
#pragma once

#include <cstdint>
#include <optional>

#include "format/index_memory.h"

namespace uvdo {

/// What is added to the value of a size in gigabytes, and to that of one in quarters.
inline constexpr std::int32_t kReducedOffset = 4096;
inline constexpr std::int32_t kReducedQuarterOffset = -1024;

/// The size of such an index; nothing if it is reduced already.
[[nodiscard]] constexpr std::optional<IndexMemory> reduced(IndexMemory memory) {
  const bool is_quarters = memory.value < 0;
  const bool is_reduced =
      is_quarters ? memory.value < kThreeQuartersGigabyte.value : memory.value > kReducedOffset;
  if (is_reduced) return std::nullopt;
  return IndexMemory{memory.value + (is_quarters ? kReducedQuarterOffset : kReducedOffset)};
}

}  // namespace uvdo
