// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers of pages in the block map's trees.
#include "format/block_map_tree.h"

namespace uvdo {
namespace {

constexpr std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) {
  return a / b + (a % b != 0 ? 1 : 0);
}

TreeSize grow_tree(std::uint64_t leaves) {
  TreeSize size;
  size.pages[0] = leaves;
  for (unsigned height = 1; height < kRootHeight; ++height) {
    size.pages[height] = divide_up(size.pages[height - 1], kEntriesPerPage);
  }
  size.pages[kRootHeight] = 1;
  return size;
}

}  // namespace

TreeSize tree_size(std::uint64_t logical_blocks, std::uint32_t root) {
  const std::uint64_t leaves = leaf_count(logical_blocks);
  return grow_tree(leaves / kBlockMapRoots + (root < leaves % kBlockMapRoots ? 1 : 0));
}

std::uint64_t interior_pages(std::uint64_t logical_blocks) {
  const TreeSize size = grow_tree(divide_up(leaf_count(logical_blocks), kBlockMapRoots));
  std::uint64_t pages = 0;
  for (unsigned height = 1; height < kRootHeight; ++height) pages += size.pages[height];
  return kBlockMapRoots * pages;
}

std::uint64_t default_logical_blocks(std::uint64_t data_blocks) {
  const std::uint64_t inner = interior_pages(data_blocks);
  if (inner >= data_blocks) return 0;
  const std::uint64_t rest = data_blocks - inner;
  return rest - divide_up(rest, kEntriesPerPage);
}

}  // namespace uvdo
