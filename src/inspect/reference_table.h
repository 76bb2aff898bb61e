// SPDX-License-Identifier: GPL-2.0-or-later
// References to physical blocks as a walk over the block map finds them: one byte a data block, and
// two more where there are compressed blocks; only for the parts of slabs that are used at all.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/block_types.h"
#include "format/block_mapping.h"
#include "format/slab_layout.h"

namespace uvdo {

/// Counts as a right volume would have them: at most 254, and for a page of the block map a value
/// of its own, where the volume stores 254. A slab is dropped when it has been compared, so that
/// memory falls as an audit goes on.
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
    const std::uint8_t* found = counts_[slab].find(sbn);
    return found == nullptr ? std::uint8_t{0} : *found;
  }
  /// Fragments of a block that are mapped: bit k for fragment k.
  [[nodiscard]] std::uint16_t fragments(SlabNumber slab, Sbn sbn) const;
  [[nodiscard]] bool is_used(SlabNumber slab) const { return !counts_[slab].empty(); }
  /// Forgets a slab that is done with.
  void drop(SlabNumber slab) {
    counts_[slab].clear();
    masks_[slab].clear();
  }

 private:
  /// Values by offset, zero at first, in pieces that come to be when they are written to.
  template <class T>
  class ChunkedArray {
   public:
    [[nodiscard]] bool empty() const { return chunks_.empty(); }
    [[nodiscard]] const T* find(Sbn at) const {
      if (chunks_.empty() || !chunks_[at / kChunk]) return nullptr;
      return &(*chunks_[at / kChunk])[at % kChunk];
    }
    T& get(Sbn at, std::uint64_t size) {
      if (chunks_.empty()) chunks_.resize((size + kChunk - 1) / kChunk);
      auto& chunk = chunks_[at / kChunk];
      if (!chunk) chunk = std::make_unique<Chunk>();
      return (*chunk)[at % kChunk];
    }
    void clear() { std::vector<std::unique_ptr<Chunk>>().swap(chunks_); }

   private:
    static constexpr std::size_t kChunk = 4096;
    using Chunk = std::array<T, kChunk>;
    std::vector<std::unique_ptr<Chunk>> chunks_;
  };

  const SlabLayout& slabs_;
  std::vector<ChunkedArray<std::uint8_t>> counts_;
  std::vector<ChunkedArray<std::uint16_t>> masks_;
};

}  // namespace uvdo
