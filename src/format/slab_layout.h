// SPDX-License-Identifier: GPL-2.0-or-later
// Where things lie in the slabs of a depot: arithmetic between physical block numbers, slabs and
// offsets (volume.md, 5).
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "base/block_types.h"
#include "format/block_mapping.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"

namespace uvdo {

/// Made of a validated SlabDepotState; cheap to copy.
class SlabLayout {
 public:
  SlabLayout() = default;
  explicit SlabLayout(const SlabDepotState& depot)
      : first_(depot.first_block),
        last_(depot.last_block),
        data_blocks_(depot.slab.data_blocks),
        reference_blocks_(depot.slab.reference_count_blocks),
        journal_blocks_(depot.slab.slab_journal_blocks),
        shift_(static_cast<unsigned>(std::countr_zero(depot.slab.slab_blocks))) {}

  /// Whole slabs; what the depot has behind them is not used.
  [[nodiscard]] SlabNumber slab_count() const {
    return static_cast<SlabNumber>((last_ - first_) >> shift_);
  }
  /// Blocks of a slab, its own books included: a power of two.
  [[nodiscard]] std::uint64_t slab_blocks() const { return 1ULL << shift_; }
  [[nodiscard]] unsigned slab_bits() const { return shift_; }
  /// Blocks of a slab that mappings may name; they come first.
  [[nodiscard]] std::uint64_t data_blocks() const { return data_blocks_; }

  /// Whether `pbn` holds data, a compressed block or a tree page: what a mapping may name.
  [[nodiscard]] bool is_data_block(Pbn pbn) const {
    return pbn >= first_ && pbn < last_ && sbn_of(pbn) < data_blocks_;
  }
  /// Whether a mapping is one that a leaf may hold: valid by itself and PBN 0 or a data block.
  [[nodiscard]] bool is_valid(BlockMapping mapping) const {
    return mapping.valid() && (mapping.pbn == kZeroPbn || is_data_block(mapping.pbn));
  }
  /// The slab of a block. Needs first block <= pbn < last block.
  [[nodiscard]] SlabNumber slab_of(Pbn pbn) const {
    return static_cast<SlabNumber>((pbn - first_) >> shift_);
  }
  /// Its offset from the start of its slab. Needs the same.
  [[nodiscard]] Sbn sbn_of(Pbn pbn) const {
    return static_cast<Sbn>((pbn - first_) & (slab_blocks() - 1));
  }
  /// The first block of a slab.
  [[nodiscard]] Pbn slab_start(SlabNumber slab) const {
    return first_ + (static_cast<std::uint64_t>(slab) << shift_);
  }
  [[nodiscard]] Pbn pbn_of(SlabNumber slab, Sbn sbn) const { return slab_start(slab) + sbn; }
  /// Where reference count block `index` of a slab lies.
  [[nodiscard]] Pbn reference_block(SlabNumber slab, std::uint64_t index) const {
    return slab_start(slab) + data_blocks_ + index;
  }
  /// Where the slab journal block with a sequence number lies.
  [[nodiscard]] Pbn journal_block(SlabNumber slab, SlabSequence sequence) const {
    return journal_block_at(slab, sequence.value() % journal_blocks_);
  }
  /// The block at an index of the slab journal's ring.
  [[nodiscard]] Pbn journal_block_at(SlabNumber slab, std::uint64_t index) const {
    return slab_start(slab) + data_blocks_ + reference_blocks_ + index;
  }

 private:
  Pbn first_;
  Pbn last_;
  std::uint64_t data_blocks_ = 0;
  std::uint64_t reference_blocks_ = 0;
  // Not 0, by which nothing could be divided.
  std::uint64_t journal_blocks_ = 1;
  unsigned shift_ = 0;
};

/// The byte on its store of a block that no part of a volume uses: the last one of the depot, if
/// that is in no slab. Nothing: the slabs fill the depot.
[[nodiscard]] inline std::optional<std::uint64_t> unused_byte(const VolumeGeometry& geometry,
                                                              const SuperBlock& super_block) {
  const SlabLayout slabs(super_block.depot);
  const Pbn end = super_block.find(PartitionId::slab_depot).end();
  if (end <= slabs.slab_start(slabs.slab_count())) return std::nullopt;
  return device_byte(Pbn{end.value() - 1}, geometry.bio_offset);
}

}  // namespace uvdo
