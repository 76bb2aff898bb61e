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
  /// Empty: the bytes mean nothing. Loading: somebody fills them, and all others wait. Ready: they
  /// are the page.
  enum class State : std::uint8_t { empty, loading, ready };

  PageNumber number;  ///< of a leaf
  Pbn pbn;
  std::byte* bytes = nullptr;
  // Of a leaf: LeafPins that hold it. An interior page stays in memory anyway.
  std::uint32_t pins = 0;
  State state = State::empty;
  // Its copy is on its way to the disk. A change meanwhile makes the page dirty anew.
  bool writing = false;
  bool recently_used = false;
  /// Recovery journal block of the oldest change that is not on disk; {0}: clean.
  JournalSequence dirty_since{0};
  /// The newest change in it: what must be stable before the page is written.
  JournalPoint newest;
  // Neighbours in the list that it is in, of dirty pages or of those that may be given up.
  MapPage* previous = nullptr;
  MapPage* next = nullptr;

  [[nodiscard]] MutableBytes block() const { return {bytes, kBlockSize}; }
  [[nodiscard]] bool is_dirty() const { return dirty_since != JournalSequence{0}; }
  [[nodiscard]] BlockMapping entry(unsigned slot) const { return uvdo::entry(block(), slot); }
};

/// Pages in the order in which they were appended.
/// A page is in one list at most: the links are its own, so that moving it allocates nothing.
class PageList {
 public:
  [[nodiscard]] MapPage* oldest() const { return first_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  void append(MapPage& page) {
    page.previous = last_;
    page.next = nullptr;
    (last_ != nullptr ? last_->next : first_) = &page;
    last_ = &page;
    ++size_;
  }
  void remove(MapPage& page) {
    (page.previous != nullptr ? page.previous->next : first_) = page.next;
    (page.next != nullptr ? page.next->previous : last_) = page.previous;
    page.previous = page.next = nullptr;
    --size_;
  }

 private:
  MapPage* first_ = nullptr;
  MapPage* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace uvdo
