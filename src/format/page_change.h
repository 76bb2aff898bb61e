// SPDX-License-Identifier: GPL-2.0-or-later
// A change of one entry of a block map page, as a journal demands it, small enough that millions
// fit in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "format/block_mapping.h"

namespace uvdo {

/// One entry of a block map page that the journal changes.
struct PageChange {
  std::uint64_t key = 0;    ///< page PBN << 10 | slot
  std::uint64_t value = 0;  ///< state << 36 | PBN
  PageChange(Pbn page, unsigned slot, BlockMapping mapping)
      : key(page.value() << 10U | slot),
        value(static_cast<std::uint64_t>(mapping.state) << 36U | mapping.pbn.value()) {}
  [[nodiscard]] Pbn page() const { return Pbn{key >> 10U}; }
  [[nodiscard]] unsigned slot() const { return static_cast<unsigned>(key & 1023U); }
  [[nodiscard]] BlockMapping mapping() const {
    return {Pbn{value & ((1ULL << 36U) - 1)}, static_cast<std::uint8_t>(value >> 36U)};
  }
};

/// Sorts changes by page and slot; of several changes of a slot the last one stays.
inline void sort_page_changes(std::vector<PageChange>& changes) {
  std::ranges::stable_sort(changes, {}, &PageChange::key);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (i + 1 < changes.size() && changes[i + 1].key == changes[i].key) continue;
    changes[kept++] = changes[i];
  }
  changes.erase(changes.begin() + static_cast<std::ptrdiff_t>(kept), changes.end());
}

}  // namespace uvdo
