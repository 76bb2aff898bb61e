// SPDX-License-Identifier: GPL-2.0-or-later
// What a range of the logical device holds, for clients that skip holes.
#include <algorithm>

#include "volume/volume.h"

namespace uvdo {
namespace {

// Leaves that one call looks at, so that it answers soon.
constexpr unsigned kMaxLeaves = 128;
// Work to find one, besides that for each of its entries.
constexpr std::uint64_t kUnitsPerLeaf = 100;

void append(std::vector<Extent>& extents, std::uint64_t length, ExtentKind kind) {
  if (!extents.empty() && extents.back().kind == kind) {
    extents.back().length += length;
  } else {
    extents.push_back({length, kind});
  }
}

ExtentKind kind_of(BlockMapping mapping) {
  if (mapping.pbn != kZeroPbn) return ExtentKind::data;
  return mapping.is_mapped() ? ExtentKind::zero : ExtentKind::hole;
}

}  // namespace

Task<Result<std::vector<Extent>>> Volume::extents(std::uint64_t offset, std::uint64_t length,
                                                  std::size_t limit) {
  if (!requests_gate_.is_open() && !co_await requests_gate_.wait_to_read()) co_return refused();
  const RequestPass pass(requests_gate_);
  if (auto in_range = check_range(offset, length); !in_range) {
    co_return std::move(in_range).error();
  }
  std::vector<Extent> found;
  const std::uint64_t end = offset + length;
  const std::uint64_t last_leaf = leaf_count(super_block_.config.logical_blocks);
  unsigned leaves = 0;
  while (offset < end && found.size() <= limit && leaves < kMaxLeaves) {
    co_await give_way();
    const Lbn lbn{offset / kBlockSize};
    const PageNumber page = page_number(lbn);
    auto leaf = co_await map_->leaf(page);
    if (!leaf) co_return std::move(leaf).error();
    if (!*leaf) {
      // The hole reaches to the first leaf of any tree.
      std::uint64_t next_page = last_leaf;
      for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
        co_await give_way();
        std::uint64_t index = index_in_tree(page);
        if (page_of(root, index) <= page) ++index;
        const std::uint64_t beyond =
            next_page > root ? (next_page - root + kBlockMapRoots - 1) / kBlockMapRoots : 0;
        auto next = co_await map_->next_leaf(root, index, beyond);
        if (!next) co_return std::move(next).error();
        if (*next) next_page = std::min(next_page, page_of(root, **next).value());
      }
      const std::uint64_t hole_end =
          next_page == last_leaf
              ? end
              : std::min(end, first_lbn(PageNumber{next_page}).value() * kBlockSize);
      append(found, hole_end - offset, ExtentKind::hole);
      offset = hole_end;
      continue;
    }
    ++leaves;
    const std::uint64_t page_end =
        std::min(end, (first_lbn(page) + kEntriesPerPage).value() * kBlockSize);
    executor_.spend(kUnitsPerLeaf + (page_end - offset) / kBlockSize);
    while (offset < page_end) {
      const Lbn here{offset / kBlockSize};
      const std::uint64_t next = std::min(page_end, (offset / kBlockSize + 1) * kBlockSize);
      const bool in_flight = newer_data(here) != nullptr;
      append(found, next - offset,
             in_flight ? ExtentKind::data : kind_of((*leaf)->entry(leaf_slot(here))));
      offset = next;
    }
  }
  if (found.size() > limit) found.resize(limit);
  co_return found;
}

}  // namespace uvdo
