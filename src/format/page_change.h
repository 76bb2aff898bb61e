// SPDX-License-Identifier: GPL-2.0-or-later
// A change of one entry of a block map page, as a journal demands it, small enough that millions
// fit in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "format/block_map_page.h"
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

/// Lays changes of a page over what the disk holds of it.
inline void lay_over(MutableBytes page, std::span<const PageChange> changes) {
  for (const PageChange& change : changes) set_entry(page, change.slot(), change.mapping());
}

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

/// The changes of all pages that a journal demands, to be laid over what the disk holds. Memory is
/// 16 bytes for each entry that changes, twice while they are sorted: 230 MB at most for a journal
/// of the usual size, if no entry is changed twice.
class PageChangeSet {
 public:
  /// Room for the changes to come, which are no more than so many, as far as they are not sorted
  /// meanwhile.
  void reserve(std::uint64_t changes) {
    most_ = changes;
    changes_.reserve(std::min<std::uint64_t>(changes, kAddedBetweenSorts));
  }
  /// In the order of the journal.
  void add(const PageChange& change) {
    changes_.push_back(change);
    if (changes_.size() < limit_) return;
    sort_page_changes(changes_);
    // Twice what has stayed, so that all sorts together cost no more than a few of the last one.
    limit_ = std::max(kAddedBetweenSorts, 2 * changes_.size());
    changes_.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(limit_, most_)));
  }
  /// After the last one.
  void finish() {
    sort_page_changes(changes_);
    changes_.shrink_to_fit();
  }
  void clear() { changes_.clear(); }
  [[nodiscard]] bool empty() const { return changes_.empty(); }
  /// The entries that change.
  [[nodiscard]] std::size_t size() const { return changes_.size(); }
  /// Those of a page, by slot. Needs finish(). (Not equal_range of <ranges>: Clang 14 cannot take
  /// libstdc++'s subrange apart.)
  [[nodiscard]] std::span<const PageChange> of(Pbn page) const {
    const auto first = std::ranges::lower_bound(changes_, page, {}, &PageChange::page);
    const auto last = std::ranges::upper_bound(changes_, page, {}, &PageChange::page);
    return {first, last};
  }

 private:
  static constexpr std::size_t kAddedBetweenSorts = std::size_t{1} << 20U;
  std::vector<PageChange> changes_;
  std::size_t limit_ = kAddedBetweenSorts;
  std::uint64_t most_ = UINT64_MAX;  // that will be added
};

}  // namespace uvdo
