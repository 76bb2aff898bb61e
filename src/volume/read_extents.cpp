// SPDX-License-Identifier: GPL-2.0-or-later
// What a range of the logical device holds, for clients that skip holes.
#include <algorithm>

#include "volume/read_path.h"

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

Task<Result<std::vector<Extent>>> ReadPath::extents(std::uint64_t offset, std::uint64_t length,
                                                    std::size_t limit) {
  const RequestPass pass = co_await entrance_.gate().enter_to_read();
  if (!pass) co_return Entrance::refused();
  if (auto in_range = entrance_.check_range(offset, length); !in_range) {
    co_return std::move(in_range).error();
  }
  std::vector<Extent> found;
  const std::uint64_t end = offset + length;
  unsigned leaves = 0;
  // One extent more than asked for, so that the last one that is given has its full length.
  while (offset < end && found.size() <= limit && leaves < kMaxLeaves) {
    co_await give_way(executor_, options_);
    const PageNumber page = page_number(Lbn{offset / kBlockSize});
    auto leaf = co_await map_.leaf(page);
    if (!leaf) co_return std::move(leaf).error();
    // No leaf: a hole at least as far as the leaf would reach, and mostly much further.
    if (!*leaf) {
      auto data = co_await end_of_hole(page);
      if (!data) co_return std::move(data).error();
      const std::uint64_t hole_end = std::min(end, data->value() * kBlockSize);
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
      // What is being written counts as data, though it may turn out to be zeros.
      const bool in_flight = in_flight_.newer_data(here) != nullptr;
      append(found, next - offset,
             in_flight ? ExtentKind::data : kind_of((*leaf)->entry(leaf_slot(here))));
      offset = next;
    }
  }
  if (found.size() > limit) found.resize(limit);
  co_return found;
}

Task<Result<Lbn>> ReadPath::end_of_hole(PageNumber page) {
  // A tree has every 60th leaf: the hole reaches to the first of any.
  const std::uint64_t last_leaf = leaf_count(entrance_.size() / kBlockSize);
  std::uint64_t next_page = last_leaf;
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    co_await give_way(executor_, options_);
    std::uint64_t index = index_in_tree(page);
    if (page_of(root, index) <= page) ++index;
    auto next = co_await map_.next_leaf(root, index, leaves_of_tree(root, next_page));
    if (!next) co_return std::move(next).error();
    if (*next) next_page = std::min(next_page, page_of(root, **next).value());
  }
  if (next_page == last_leaf) co_return Lbn{entrance_.size() / kBlockSize};
  co_return first_lbn(PageNumber{next_page});
}

}  // namespace uvdo
