// SPDX-License-Identifier: GPL-2.0-or-later
// The walk is depth first; it needs one page of memory for each level.
#include "inspect/block_map_walk.h"

#include <algorithm>
#include <array>
#include <memory>

#include <fmt/core.h>

namespace uvdo {
namespace {

class Walker {
 public:
  Walker(const VolumeImage& image, ReferenceTable& references, const FindingSink& sink,
         const WalkProgress& progress, const MapVisitor& visitor)
      : image_(image),
        slabs_(image.slabs()),
        references_(references),
        sink_(sink),
        progress_(progress),
        visitor_(visitor),
        levels_(std::make_unique<std::array<PageView, kTreeHeight>>()) {}

  BlockMapContents walk() {
    for (root_ = 0; root_ < kBlockMapRoots; ++root_) {
      // How many pages this tree has at each height; entries that lead beyond are wrong.
      bounds_ = tree_size(image_.logical_blocks(), root_);
      interior_page(image_.super_block().block_map.root_origin + root_, kRootHeight, 0);
    }
    return contents_;
  }

 private:
  static constexpr std::uint64_t kProgressInterval = 256;

  template <class... Args>
  void report(FindingKind kind, bool is_error, fmt::format_string<Args...> text, Args&&... args) {
    sink_({kind, is_error, fmt::format(text, std::forward<Args>(args)...)});
  }

  /// Logical blocks under the page of a height and index of this tree.
  [[nodiscard]] std::uint64_t covered(unsigned height, std::uint64_t index) const {
    std::uint64_t span = 1;  // leaves
    for (unsigned h = 0; h < height; ++h) span *= kEntriesPerPage;
    const std::uint64_t leaves = bounds_.pages[0];
    const std::uint64_t first = std::min(leaves, index * span);
    return std::min((std::min(leaves, first + span) - first) * kEntriesPerPage,
                    image_.logical_blocks());
  }

  /// Reads a page into its level; false if it holds nothing.
  bool load(Pbn pbn, unsigned height, std::uint64_t index) {
    if (progress_ && ++pages_ % kProgressInterval == 0) {
      progress_(pages_, image_.block_map_blocks() + kBlockMapRoots);
    }
    PageView& view = (*levels_)[height];
    if (auto ok = image_.read_page(pbn, view); !ok) {
      report(FindingKind::unreadable, true, "block map page {} (height {}): {}", pbn.value(),
             height, ok.error().message());
      contents_.damaged_blocks += covered(height, index);
      return false;
    }
    if (view.status == PageStatus::valid) return true;
    if (view.status == PageStatus::bad) {
      report(FindingKind::block_map_page, true, "page {} (height {}) says that it is page {}",
             pbn.value(), height, load_le64(view.bytes.data() + kPagePbnOffset));
      contents_.damaged_blocks += covered(height, index);
    } else if (height < kRootHeight) {
      // A page may be allocated and never written: a leaf at any time, an interior page when a
      // crash came before the journal entry of its first child and the kernel has recovered. That
      // one which had children is lost shows in references that nobody has.
      report(FindingKind::block_map_page, false, "page {} (height {}) was never written",
             pbn.value(), height);
    }
    return false;
  }

  void interior_page(Pbn pbn, unsigned height, std::uint64_t index) {
    if (!load(pbn, height, index)) return;
    for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
      const BlockMapping entry = (*levels_)[height].entry(slot);
      if (entry == kUnmapped) continue;
      const std::uint64_t child = index * kEntriesPerPage + slot;
      if (entry.state != kStateUncompressed || !slabs_.is_data_block(entry.pbn)) {
        report(FindingKind::block_map_tree, true,
               "page {} (height {}) slot {} leads to block {} (state {}), where no page can be",
               pbn.value(), height, slot, entry.pbn.value(), entry.state);
        // Below an entry beyond the logical size nothing is lost.
        if (child < bounds_.pages[height - 1])
          contents_.damaged_blocks += covered(height - 1, child);
        continue;
      }
      if (child >= bounds_.pages[height - 1]) {
        report(FindingKind::block_map_tree, true,
               "page {} (height {}) slot {} leads to page {}, beyond the logical size", pbn.value(),
               height, slot, entry.pbn.value());
        continue;
      }
      ++contents_.tree_pages;
      if (visitor_.page) visitor_.page(entry.pbn, root_, height - 1, child);
      if (!references_.add_tree_page(entry.pbn)) {
        report(FindingKind::block_map_tree, true,
               "page {} (height {}) slot {} leads to block {}, which is used already", pbn.value(),
               height, slot, entry.pbn.value());
        contents_.damaged_blocks += covered(height - 1, child);
        continue;
      }
      if (height > 1) {
        interior_page(entry.pbn, height - 1, child);
      } else {
        leaf(entry.pbn, page_of(root_, child));
      }
    }
  }

  void leaf(Pbn pbn, PageNumber number) {
    if (!load(pbn, 0, index_in_tree(number))) return;
    for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
      const BlockMapping entry = (*levels_)[0].entry(slot);
      if (entry == kUnmapped) continue;
      if (visitor_.entry) visitor_.entry(first_lbn(number) + slot, entry);
      map(first_lbn(number) + slot, entry);
    }
  }

  /// One mapping: counted by its kind, and as a reference to its block.
  void map(Lbn lbn, BlockMapping entry) {
    contents_.mapped_blocks += entry.is_mapped() ? 1 : 0;
    if (lbn.value() >= image_.logical_blocks() || !slabs_.is_valid(entry)) {
      ++contents_.invalid_entries;
      ++contents_.damaged_blocks;
      report(FindingKind::mapping, true, "logical block {} is mapped to block {} (state {}): {}",
             lbn.value(), entry.pbn.value(), entry.state,
             lbn.value() >= image_.logical_blocks() ? "it is beyond the logical size"
                                                    : "that is not possible");
      return;
    }
    if (entry.is_zero()) {
      ++contents_.zero_blocks;
      return;
    }
    contents_.fragment_mappings += entry.is_compressed() ? 1 : 0;
    switch (references_.add(entry)) {
      case ReferenceTable::Outcome::ok: return;
      case ReferenceTable::Outcome::tree_page:
        return report_mapping(lbn, entry, "that is a page of the block map");
      case ReferenceTable::Outcome::too_many:
        return report_mapping(lbn, entry, "the block has 254 references already");
      case ReferenceTable::Outcome::mixed:
        return report_mapping(lbn, entry, "others map the block in the other way");
    }
  }

  void report_mapping(Lbn lbn, BlockMapping entry, std::string_view what) {
    ++contents_.damaged_blocks;
    report(FindingKind::mapping, true, "logical block {} is mapped to block {} as {}: {}",
           lbn.value(), entry.pbn.value(), entry.is_compressed() ? "compressed" : "not compressed",
           what);
  }

  const VolumeImage& image_;
  const SlabLayout& slabs_;
  ReferenceTable& references_;
  const FindingSink& sink_;
  const WalkProgress& progress_;
  const MapVisitor& visitor_;
  std::unique_ptr<std::array<PageView, kTreeHeight>> levels_;
  std::uint32_t root_ = 0;
  TreeSize bounds_;
  std::uint64_t pages_ = 0;
  BlockMapContents contents_;
};

}  // namespace

BlockMapContents walk_block_map(const VolumeImage& image, ReferenceTable& references,
                                const FindingSink& sink, const WalkProgress& progress,
                                const MapVisitor& visitor) {
  return Walker(image, references, sink, progress, visitor).walk();
}

}  // namespace uvdo
