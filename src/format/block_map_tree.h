// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic of the block map's 60 trees: the way from a logical block number to its entry,
// the numbers of pages, and the default logical size (volume.md, 6.3; behaviour.md, 2).
#pragma once

#include <array>
#include <cstdint>

#include "base/block_types.h"
#include "format/block_map_page.h"
#include "format/super_block.h"

namespace uvdo {

/// Levels of a tree: leaves have height 0, roots height 4.
inline constexpr unsigned kTreeHeight = 5;
inline constexpr unsigned kRootHeight = kTreeHeight - 1;

/// The way from a root to an entry: slots[h] is the slot in the page of height h.
struct TreePath {
  std::uint32_t root = 0;
  std::array<std::uint16_t, kTreeHeight> slots{};
  friend bool operator==(const TreePath&, const TreePath&) = default;
};

/// The leaf that holds the entry of `lbn`, and the slot in it.
[[nodiscard]] constexpr PageNumber page_number(Lbn lbn) {
  return PageNumber{lbn.value() / kEntriesPerPage};
}
[[nodiscard]] constexpr unsigned leaf_slot(Lbn lbn) {
  return static_cast<unsigned>(lbn.value() % kEntriesPerPage);
}
/// The tree of a leaf, and the leaf's index in it.
[[nodiscard]] constexpr std::uint32_t root_of(PageNumber page) {
  return static_cast<std::uint32_t>(page.value() % kBlockMapRoots);
}
[[nodiscard]] constexpr std::uint64_t index_in_tree(PageNumber page) {
  return page.value() / kBlockMapRoots;
}
/// The leaf with an index in a tree, and the first block that it maps.
[[nodiscard]] constexpr PageNumber page_of(std::uint32_t root, std::uint64_t index) {
  return PageNumber{index * kBlockMapRoots + root};
}
[[nodiscard]] constexpr Lbn first_lbn(PageNumber page) {
  return Lbn{page.value() * kEntriesPerPage};
}

/// The way to a leaf; slots[0] is 0.
[[nodiscard]] constexpr TreePath tree_path(PageNumber page) {
  TreePath path{root_of(page), {}};
  std::uint64_t index = index_in_tree(page);
  for (unsigned height = 1; height < kTreeHeight; ++height) {
    path.slots[height] = static_cast<std::uint16_t>(index % kEntriesPerPage);
    index /= kEntriesPerPage;
  }
  return path;
}
/// The way to the entry of a logical block (below 2^40).
[[nodiscard]] constexpr TreePath tree_path(Lbn lbn) {
  TreePath path = tree_path(page_number(lbn));
  path.slots[0] = static_cast<std::uint16_t>(leaf_slot(lbn));
  return path;
}

/// Leaves of a volume of `logical_blocks`.
[[nodiscard]] constexpr std::uint64_t leaf_count(std::uint64_t logical_blocks) {
  return (logical_blocks + kEntriesPerPage - 1) / kEntriesPerPage;
}

/// How many of the first `leaves` leaves of all trees are in tree `root`.
[[nodiscard]] constexpr std::uint64_t leaves_of_tree(std::uint32_t root, std::uint64_t leaves) {
  return leaves > root ? (leaves - root + kBlockMapRoots - 1) / kBlockMapRoots : 0;
}

/// Pages of one tree by height: leaves, interior pages (heights 1 .. 3). pages[4] is 1, the root.
struct TreeSize {
  std::array<std::uint64_t, kTreeHeight> pages{};
  friend bool operator==(const TreeSize&, const TreeSize&) = default;
};
/// The pages that tree `root` can have in a volume of `logical_blocks`. An entry of an interior
/// page that leads to an index at or beyond the number for its height must be unmapped.
[[nodiscard]] TreeSize tree_size(std::uint64_t logical_blocks, std::uint32_t root);

/// Interior pages at heights 1 .. 3 of all trees, in the forest's form of the default size:
/// every tree counts as if it were the largest.
[[nodiscard]] std::uint64_t interior_pages(std::uint64_t logical_blocks);

/// The logical size that a new volume gets when none is asked for: what `data_blocks` (in all
/// slabs) can hold besides the map that leads to it. 0 if there is no room at all.
[[nodiscard]] std::uint64_t default_logical_blocks(std::uint64_t data_blocks);

}  // namespace uvdo
