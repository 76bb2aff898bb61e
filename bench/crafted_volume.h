// SPDX-License-Identifier: GPL-2.0-or-later
// A volume that has been in use for long, of any size, made out by arithmetic: most logical blocks
// are mapped, most physical ones are in use, and the free ones lie scattered among them. What a
// block of it holds is computed when somebody asks, so that a volume of many terabytes takes
// neither time nor room.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/aligned_memory.h"
#include "format/block_map_tree.h"
#include "format/reference_block.h"
#include "format/slab_layout.h"
#include "format/volume_layout.h"

namespace uvdo {

/// Which data blocks of the slabs are in use, numbered in the order of their places. The same
/// pattern of short free runs repeats in the blocks of each block of reference counts.
class UsedBlocks {
 public:
  UsedBlocks() = default;
  explicit UsedBlocks(unsigned percent);

  /// Of a slab with so many data blocks.
  [[nodiscard]] std::uint64_t count_in(std::uint64_t data_blocks) const;
  /// The blocks are numbered in these slabs from now on.
  void set_slabs(const SlabLayout& slabs);
  [[nodiscard]] std::uint64_t per_slab() const { return per_slab_; }
  [[nodiscard]] Pbn at(std::uint64_t number) const;
  /// Needs slabs.is_data_block(pbn); nothing if it is free.
  [[nodiscard]] std::optional<std::uint64_t> number_of(Pbn pbn) const;
  /// Blocks in use before `sbn` in its slab.
  [[nodiscard]] std::uint64_t used_before(Sbn sbn) const;
  [[nodiscard]] bool is_used(Sbn sbn) const { return is_used_[sbn % kCountsPerBlock]; }

  /// Walks over the blocks in use.
  class Cursor {
   public:
    Cursor(const UsedBlocks& blocks, std::uint64_t number);
    [[nodiscard]] Pbn pbn() const { return tile_start_ + blocks_->places_[in_tile_]; }
    void next();

   private:
    const UsedBlocks* blocks_;
    std::uint64_t number_;
    Pbn tile_start_;
    std::size_t in_tile_;
    std::size_t left_in_slab_;
  };

 private:
  std::vector<bool> is_used_;
  std::vector<std::uint16_t> places_;       // of the blocks in use
  std::vector<std::uint16_t> used_before_;  // of each place
  SlabLayout slabs_;
  std::uint64_t per_slab_ = 0;
};

struct CraftRequest {
  std::uint64_t logical_bytes = 0;  ///< at least; it is made a bit larger, to fill the last slab
  unsigned mapped_percent = 90;     ///< of the logical blocks, in each leaf
  unsigned used_percent = 90;       ///< of the data blocks, in each slab
  unsigned references = 1;          ///< logical blocks that share a data block, at most 254
  unsigned slab_bits = 19;
  std::uint64_t nonce = 1;
};

/// The order of the blocks in use says what they are: first the interior pages, then the leaves,
/// then data. So the page of a height and index, the data block of a logical block and the count of
/// a physical one follow from each other without a table. It is a volume that was shut down:
/// journals are empty.
class CraftedVolume {
 public:
  /// invalid_argument: there is no such volume.
  static Result<CraftedVolume> make(const CraftRequest& request);

  /// Of a volume that was shut down.
  [[nodiscard]] const VolumeLayout& layout() const { return layout_; }
  [[nodiscard]] std::uint64_t device_bytes() const {
    return layout_.super_block.config.physical_blocks * kBlockSize;
  }
  [[nodiscard]] std::uint64_t leaves() const { return leaves_; }
  [[nodiscard]] unsigned mapped_per_leaf() const {
    return static_cast<unsigned>(mapped_slots_.size());
  }
  [[nodiscard]] std::uint64_t mapped_blocks() const { return leaves_ * mapped_per_leaf(); }
  [[nodiscard]] std::uint64_t tree_pages() const { return interior_pages_ + leaves_; }
  [[nodiscard]] std::uint64_t data_blocks_used() const { return data_blocks_; }
  /// The mapped block with a number, below mapped_per_leaf(), in a leaf.
  [[nodiscard]] Lbn mapped_block(std::uint64_t leaf, unsigned number) const {
    return first_lbn(PageNumber{leaf}) + mapped_slots_[number];
  }

  /// Whether a block of the volume is one that data are written to.
  [[nodiscard]] bool is_for_data(Pbn pbn) const;
  /// What the volume holds at `pbn`. False if it is a hole: then `block` is zeros.
  bool read(Pbn pbn, MutableBytes block) const;
  /// `pbn`, or a block behind it if all in between are holes.
  [[nodiscard]] Pbn skip_holes(Pbn pbn) const;

 private:
  /// Pages of one height of one tree, by the number of the first.
  struct Generation {
    std::uint64_t first = 0;
    std::uint32_t root = 0;
    unsigned height = 0;
  };

  explicit CraftedVolume(const CraftRequest& request);
  [[nodiscard]] std::uint64_t data_blocks_for(std::uint64_t leaves) const;
  /// Gives the interior pages their numbers: tree by tree, height by height.
  void number_pages();
  void finish_layout();
  [[nodiscard]] std::uint64_t page_at(std::uint32_t root, unsigned height,
                                      std::uint64_t index) const;
  bool read_slab_block(Pbn pbn, MutableBytes block) const;
  void read_page(std::uint64_t number, MutableBytes block) const;
  void read_interior(const Generation& generation, std::uint64_t index, MutableBytes block) const;
  void read_leaf(std::uint64_t leaf, MutableBytes block) const;
  void read_counts(SlabNumber slab, std::uint64_t index, MutableBytes block) const;
  void read_summary(std::uint64_t index, MutableBytes block) const;
  [[nodiscard]] ReferenceCount count_of(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t blocks_in_use(SlabNumber slab) const;

  CraftRequest request_;
  VolumeLayout layout_;
  SlabLayout slabs_;
  UsedBlocks used_;
  std::vector<std::uint16_t> mapped_slots_;
  std::uint64_t leaves_ = 0;
  std::uint64_t interior_pages_ = 0;
  std::uint64_t data_blocks_ = 0;
  std::vector<Generation> generations_;
  std::array<std::array<std::uint64_t, kTreeHeight>, kBlockMapRoots> first_page_{};
  // The counts of blocks that are all mapped equally often: nearly all are.
  AlignedMemory uniform_counts_;
};

}  // namespace uvdo
