// SPDX-License-Identifier: GPL-2.0-or-later
// Counts what kinds of entries the block map of a volume in use has: zeros, fragments, and the
// different fragments behind them. A walk over the map counts leaf after leaf while it changes:
// changes of leaves that have been counted count too, the others are met by the walk.
//
// Fragments are told apart by a table of bounded size. When it is full it keeps a random half of
// the compressed blocks, and so on: what it says is exact up to 65536 compressed blocks (256 MiB),
// and beyond that an estimate with an error of less than a percent. The figures of a damaged map
// are estimates too: an entry that was invalid when the walk met it is not counted when it goes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "base/flat_map.h"
#include "format/block_map_tree.h"
#include "format/block_mapping.h"
#include "format/compressed_block.h"

namespace uvdo {

/// The walker calls begin() once, then for each leaf add() of its entries and advance(), and
/// complete() at the end; the ledger calls changed() for every change of an entry from the start
/// on.
class SavingsCounter {
 public:
  static constexpr std::size_t kMostBlocks = 1U << 16U;
  /// Bytes that the table takes at most.
  static constexpr std::uint64_t kMemoryBound = 8ULL << 20U;

  /// The place of a leaf in the order of the walk: tree by tree.
  using Position = std::uint64_t;
  [[nodiscard]] static constexpr Position position(std::uint32_t root, std::uint64_t index) {
    return Position{root} << 40U | index;
  }

  [[nodiscard]] bool has_begun() const { return begun_; }
  [[nodiscard]] bool is_complete() const { return next_ == kEnd; }

  /// An entry of the map has changed.
  void changed(Lbn lbn, BlockMapping old, BlockMapping now) {
    if (!begun_) return;
    const PageNumber page = page_number(lbn);
    const Position where = position(root_of(page), index_in_tree(page));
    if (where >= next_) {
      missed_ = std::min(missed_, where);
      return;
    }
    remove(old);
    add(now);
  }

  // ---- the walk
  void begin() { begun_ = true; }
  /// From here on, changes before the place that the walk looks at next are noted.
  void watch() { missed_ = kEnd; }
  /// Whether a leaf below `where` has changed since watch() though the walk has not met it.
  [[nodiscard]] bool has_missed(Position where) const { return missed_ < where; }
  /// Counts an entry of the leaf at the place that is advanced over next.
  void add(BlockMapping mapping);
  /// All leaves below `next` are counted.
  void advance(Position next) { next_ = next; }
  void complete() { next_ = kEnd; }

  // ---- figures
  [[nodiscard]] std::uint64_t zero_blocks() const { return zero_blocks_; }
  /// Logical blocks that are stored as fragments.
  [[nodiscard]] std::uint64_t fragments_mapped() const { return fragments_mapped_; }
  /// Compressed blocks in use, and the different fragments in them.
  [[nodiscard]] std::uint64_t compressed_blocks() const { return blocks_.size() << halvings_; }
  [[nodiscard]] std::uint64_t fragments() const { return fragments_ << halvings_; }

 private:
  static constexpr Position kEnd = std::numeric_limits<Position>::max();
  using Counts = std::array<std::uint8_t, kMaxFragments>;
  /// More than a block can have; they are not counted further.
  static constexpr std::uint8_t kManyReferences = 255;

  void remove(BlockMapping mapping);
  [[nodiscard]] bool is_sampled(Pbn pbn) const;
  void halve();

  bool begun_ = false;
  Position next_ = 0;  // leaves below are counted
  Position missed_ = kEnd;
  std::uint64_t zero_blocks_ = 0;
  std::uint64_t fragments_mapped_ = 0;
  std::uint64_t fragments_ = 0;  // different ones, in the table
  unsigned halvings_ = 0;
  FlatMap<Counts> blocks_;
};

}  // namespace uvdo
