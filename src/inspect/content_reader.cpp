// SPDX-License-Identifier: GPL-2.0-or-later
// Merges the leaves of the 60 trees into the order of logical blocks.
#include "inspect/content_reader.h"

#include <algorithm>

#include <fmt/core.h>

namespace uvdo {

ContentReader::ContentReader(VolumeImage& image, Lbn first, std::uint64_t count)
    : image_(image), at_(first), upcoming_(kBlockMapRoots), buffer_(kRunBlocks * kBlockSize) {
  const std::uint64_t size = image.logical_blocks();
  at_ = std::min(first, Lbn{size});
  end_ = at_ + std::min(count, size - at_.value());
  const std::uint64_t page = page_number(at_).value();
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    // The first index whose page is not before the first one wanted.
    const std::uint64_t index =
        page <= root ? 0 : (page - root + kBlockMapRoots - 1) / kBlockMapRoots;
    // One leaf of each tree is known ahead; the nearest of the 60 is the next one.
    upcoming_[root] = image.next_leaf(root, index);
  }
  find_leaf();
}

void ContentReader::find_leaf() {
  root_.reset();
  leaf_loaded_ = false;
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    if (!upcoming_[root]) continue;
    const PageNumber page = page_of(root, upcoming_[root]->index);
    if (root_ && page >= leaf_) continue;
    root_ = root;
    leaf_ = page;
  }
}

ContentRun ContentReader::hole_until(Lbn end) {
  ContentRun run{at_, end - at_, ContentRun::Kind::hole, {}, {}};
  at_ = end;
  return run;
}

ContentRun ContentReader::from_leaf() {
  const VolumeImage::LeafPlace& place = *upcoming_[*root_];
  const Lbn leaf_end = std::min(first_lbn(leaf_ + 1), end_);
  if (!leaf_loaded_) {
    leaf_problem_ = place.damage;
    leaf_empty_ = false;
    // A leaf is read once; its problem, if it has one, is that of all its blocks.
    if (leaf_problem_.empty()) {
      if (auto ok = image_.read_page(place.pbn, page_); !ok) {
        leaf_problem_ = ok.error().message();
      } else if (page_.status == PageStatus::bad) {
        leaf_problem_ =
            fmt::format("the block map page at {} belongs at another place", place.pbn.value());
      } else {
        leaf_empty_ = page_.status == PageStatus::invalid;
      }
    }
    leaf_loaded_ = true;
  }
  if (!leaf_problem_.empty()) {
    ContentRun run = hole_until(leaf_end);
    run.kind = ContentRun::Kind::damaged;
    run.problem = leaf_problem_;
    return run;
  }
  if (leaf_empty_) return hole_until(leaf_end);

  const auto entry_of = [&](Lbn lbn) { return page_.entry(leaf_slot(lbn)); };
  // The first entry says of which kind the run is.
  const BlockMapping first = entry_of(at_);
  const auto is_hole = [](BlockMapping m) { return m == kUnmapped || m == kMappedZero; };
  Lbn to = at_ + 1;
  if (is_hole(first)) {
    while (to < leaf_end && is_hole(entry_of(to))) ++to;
    return hole_until(to);
  }
  const MutableBytes out(buffer_);
  // A run of blocks that lie side by side on the disk as in the logical space is one read.
  const bool plain = !first.is_compressed() && image_.slabs().is_valid(first);
  if (plain) {
    while (to < leaf_end && to - at_ < kRunBlocks &&
           entry_of(to) == mapped_to(first.pbn + (to - at_)) &&
           image_.slabs().is_data_block(entry_of(to).pbn)) {
      ++to;
    }
    const std::uint64_t blocks = to - at_;
    if (blocks > 1 && image_.read_blocks(first.pbn, out.first(blocks * kBlockSize)).ok()) {
      ContentRun run{at_, blocks, ContentRun::Kind::data, out.first(blocks * kBlockSize), {}};
      at_ = to;
      return run;
    }
  }
  // Block by block: compressed ones, those without neighbours, and runs that cannot be read whole.
  ContentRun run{at_, 0, ContentRun::Kind::data, {}, {}};
  while (at_ < leaf_end && run.blocks < kRunBlocks) {
    const BlockMapping entry = entry_of(at_);
    if (is_hole(entry)) break;
    if (run.blocks > 0 && plain != !entry.is_compressed()) break;
    auto ok = image_.read_mapped(entry, out.subspan(run.blocks * kBlockSize, kBlockSize));
    if (!ok) {
      if (run.blocks > 0) break;
      run.blocks = 1;
      run.kind = ContentRun::Kind::damaged;
      run.problem = std::move(ok).error().message();
      ++at_;
      return run;
    }
    ++run.blocks;
    ++at_;
    if (plain) break;
  }
  run.data = out.first(run.blocks * kBlockSize);
  return run;
}

std::optional<ContentRun> ContentReader::next() {
  if (at_ >= end_) return std::nullopt;
  // Behind the end of a leaf its tree tells its next one.
  while (root_ && first_lbn(leaf_ + 1) <= at_) {
    upcoming_[*root_] = image_.next_leaf(*root_, upcoming_[*root_]->index + 1);
    find_leaf();
  }
  if (!root_ || first_lbn(leaf_) >= end_) return hole_until(end_);
  if (first_lbn(leaf_) > at_) return hole_until(first_lbn(leaf_));
  return from_leaf();
}

}  // namespace uvdo
