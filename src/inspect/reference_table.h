// SPDX-License-Identifier: GPL-2.0-or-later
// References to physical blocks as a walk over the block map finds them: one byte a data block, in
// slabs that are used at all, and two more where there are compressed blocks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/block_types.h"
#include "format/block_mapping.h"
#include "format/slab_layout.h"

namespace uvdo {

class ReferenceTable {
 public:
  static constexpr std::uint8_t kTreePage = 255;
  static constexpr std::uint8_t kMost = 254;

  ReferenceTable(const SlabLayout& slabs, SlabNumber slab_count)
      : slabs_(slabs), counts_(slab_count), masks_(slab_count) {}

  enum class Outcome : std::uint8_t {
    ok,
    tree_page,  ///< the block is a page of the block map
    too_many,   ///< it has 254 references already
    mixed,      ///< it is mapped both as compressed and as not compressed
  };
  /// Notes a mapping to a data block. Needs slabs.is_valid(mapping) and PBN other than 0.
  Outcome add(BlockMapping mapping);
  /// Notes a page of the block map; false if the block is already used.
  bool add_tree_page(Pbn pbn);

  /// References of a block: 0 .. 254, or kTreePage.
  [[nodiscard]] std::uint8_t count(SlabNumber slab, Sbn sbn) const {
    return counts_[slab].empty() ? std::uint8_t{0} : counts_[slab][sbn];
  }
  /// Fragments of a block that are mapped: bit k for fragment k.
  [[nodiscard]] std::uint16_t fragments(SlabNumber slab, Sbn sbn) const;
  [[nodiscard]] bool is_used(SlabNumber slab) const { return !counts_[slab].empty(); }
  /// Forgets a slab that is done with.
  void drop(SlabNumber slab) {
    std::vector<std::uint8_t>().swap(counts_[slab]);
    std::vector<std::unique_ptr<MaskChunk>>().swap(masks_[slab]);
  }

 private:
  static constexpr std::size_t kMaskChunk = 4096;
  using MaskChunk = std::array<std::uint16_t, kMaskChunk>;

  std::vector<std::uint8_t>& slab_counts(SlabNumber slab);
  std::uint16_t& mask(SlabNumber slab, Sbn sbn);

  const SlabLayout& slabs_;
  std::vector<std::vector<std::uint8_t>> counts_;
  std::vector<std::vector<std::unique_ptr<MaskChunk>>> masks_;
};

}  // namespace uvdo
