// SPDX-License-Identifier: GPL-2.0-or-later
// A page of the block map in memory, leaf or interior, with what must happen before and after it
// is written. Its bytes are those of the page on disk.
#pragma once

#include <cstdint>

#include "base/block_types.h"
#include "format/block_map_page.h"
#include "format/journal_point.h"

namespace uvdo {

struct MapPage {
  enum class State : std::uint8_t { empty, loading, ready };

  PageNumber number;  ///< of a leaf
  Pbn pbn;
  std::byte* bytes = nullptr;
  std::uint32_t pins = 0;
  State state = State::empty;
  bool writing = false;
  bool recently_used = false;
  /// Recovery journal block of the oldest change that is not on disk; {0}: clean.
  JournalSequence dirty_since{0};
  /// The newest change in it: what must be stable before the page is written.
  JournalPoint newest;
  // Dirty pages form a list in the order of dirty_since.
  MapPage* dirty_previous = nullptr;
  MapPage* dirty_next = nullptr;

  [[nodiscard]] MutableBytes block() const { return {bytes, kBlockSize}; }
  [[nodiscard]] bool is_dirty() const { return dirty_since != JournalSequence{0}; }
  [[nodiscard]] BlockMapping entry(unsigned slot) const { return uvdo::entry(block(), slot); }
};

/// Dirty pages, the longest dirty first.
class DirtyList {
 public:
  [[nodiscard]] MapPage* oldest() const { return first_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  void append(MapPage& page) {
    page.dirty_previous = last_;
    page.dirty_next = nullptr;
    (last_ != nullptr ? last_->dirty_next : first_) = &page;
    last_ = &page;
    ++size_;
  }
  void remove(MapPage& page) {
    (page.dirty_previous != nullptr ? page.dirty_previous->dirty_next : first_) = page.dirty_next;
    (page.dirty_next != nullptr ? page.dirty_next->dirty_previous : last_) = page.dirty_previous;
    page.dirty_previous = page.dirty_next = nullptr;
    --size_;
  }

 private:
  MapPage* first_ = nullptr;
  MapPage* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace uvdo
