// SPDX-License-Identifier: GPL-2.0-or-later
// Memory of the interior pages of a block map, for all that a map of its size can have. It is taken
// when the volume is opened or grown, and touched as far as pages are used.
// A page stays where it is and is never taken back, so pointers to pages remain valid.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/flat_map.h"
#include "base/page_memory.h"
#include "blockmap/map_page.h"
#include "format/block_map_tree.h"

namespace uvdo {

/// Pages by tree, height and index. Growth adds a piece of memory; no piece ever moves.
class InteriorPages {
 public:
  explicit InteriorPages(std::uint64_t logical_blocks) { grow(logical_blocks); }

  /// Pages that a map can have, the roots included.
  [[nodiscard]] static std::uint64_t most_pages(std::uint64_t logical_blocks) {
    return interior_pages(logical_blocks) + kBlockMapRoots;
  }
  /// Bytes that all of them take.
  [[nodiscard]] static std::uint64_t memory_needed(std::uint64_t logical_blocks) {
    return most_pages(logical_blocks) * (kBlockSize + sizeof(MapPage) + kBytesOfIndex);
  }

  /// Makes room for the pages of a larger map.
  void grow(std::uint64_t logical_blocks) {
    const std::uint64_t most = most_pages(logical_blocks);
    if (most <= room_) return;
    pieces_.push_back({PageMemory((most - room_) * kBlockSize),
                       PageMemory((most - room_) * sizeof(MapPage)), most - room_});
    room_ = most;
    by_key_.reserve(most);
  }
  /// The page of a height (1..4; 4 is the root) and an index there, or nullptr.
  [[nodiscard]] MapPage* find(std::uint32_t root, unsigned height, std::uint64_t index) {
    MapPage** page = by_key_.find(key(root, height, index));
    return page == nullptr ? nullptr : *page;
  }
  /// A page that find() does not know: empty, its bytes anything. nullptr if the map has as many
  /// already as its size allows.
  [[nodiscard]] MapPage* add(std::uint32_t root, unsigned height, std::uint64_t index) {
    while (used_of_piece_ == pieces_[piece_].pages) {
      if (piece_ + 1 == pieces_.size()) return nullptr;
      ++piece_;
      used_of_piece_ = 0;
    }
    const Piece& piece = pieces_[piece_];
    MapPage* page =
        std::construct_at(reinterpret_cast<MapPage*>(piece.pages_memory.data()) + used_of_piece_);
    page->bytes = piece.bytes.data() + used_of_piece_ * kBlockSize;
    ++used_of_piece_;
    by_key_.insert(key(root, height, index), page);
    return page;
  }
  [[nodiscard]] std::uint64_t size() const { return by_key_.size(); }

 private:
  // Up to four places of the map from keys to pages, and the two that it grew out of.
  static constexpr std::uint64_t kBytesOfIndex = std::uint64_t{6} * 24;

  struct Piece {
    PageMemory bytes;
    PageMemory pages_memory;  // of MapPage
    std::uint64_t pages = 0;
  };
  // 8 bits of tree (60 of them), 8 of height, the rest the index.
  static std::uint64_t key(std::uint32_t root, unsigned height, std::uint64_t index) {
    return index << 16U | std::uint64_t{height} << 8U | root;
  }

  std::vector<Piece> pieces_;
  std::uint64_t room_ = 0;
  std::size_t piece_ = 0;  // that pages are taken of
  std::uint64_t used_of_piece_ = 0;
  FlatMap<MapPage*> by_key_;
};

}  // namespace uvdo
