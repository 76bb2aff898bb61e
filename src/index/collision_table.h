// SPDX-License-Identifier: GPL-2.0-or-later
// The names that share a place of the volume index with another name, by that place. The table has
// a fixed size, and takes memory as it fills.
#pragma once

#include <bit>
#include <cstdint>

#include "base/check.h"
#include "base/page_memory.h"
#include "format/record_name.h"

namespace uvdo {

/// Chains by hash, of entries that are numbered from 1; what was erased is taken first again.
/// Entries never move, so that pointers to them stay valid until they are erased.
class CollisionTable {
 public:
  struct Entry {
    std::uint64_t key = 0;  ///< the place
    std::uint64_t chapter = 0;
    RecordName name;
    std::uint32_t next = 0;  // 1 + the number of the next of its hash, or of the free entries
    bool used = false;
  };

  /// A table of at most `capacity` (less than 2^32) names.
  explicit CollisionTable(std::uint64_t capacity)
      : capacity_(capacity),
        chain_count_(std::bit_ceil(capacity / 4 + 1)),
        entries_(capacity * sizeof(Entry)),
        chains_(chain_count_ * sizeof(std::uint32_t)) {
    check(capacity < ~std::uint32_t{0}, "a table of collisions is too large");
  }

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t capacity_bytes() const { return entries_.size() + chains_.size(); }

  /// Calls f(entry) for the names of a place, in no order, until it says true; that entry, or
  /// nullptr.
  template <class F>
  Entry* find(std::uint64_t key, F&& f) const {
    if (empty()) return nullptr;
    for (std::uint32_t at = *chain_of(key); at != 0; at = entry(at).next) {
      if (entry(at).key == key && f(entry(at))) return &entry(at);
    }
    return nullptr;
  }
  /// False if the table is full.
  bool insert(std::uint64_t key, const RecordName& name, std::uint64_t chapter) {
    // A place that was given back, or the next one that was never used.
    std::uint32_t at = free_;
    if (at != 0) {
      free_ = entry(at).next;
    } else if (used_ < capacity_) {
      at = static_cast<std::uint32_t>(++used_);
    } else {
      return false;
    }
    std::uint32_t* chain = chain_of(key);
    entry(at) = {key, chapter, name, *chain, true};
    *chain = at;
    ++size_;
    return true;
  }
  void erase(Entry& gone) {
    std::uint32_t* link = chain_of(gone.key);
    while (&entry(*link) != &gone) link = &entry(*link).next;
    const std::uint32_t at = *link;
    *link = gone.next;
    gone.used = false;
    gone.next = free_;
    free_ = at;
    --size_;
  }
  /// All entries; f may erase the one that it is given.
  template <class F>
  void for_each(F&& f) const {
    for (std::uint64_t i = 1; i <= used_; ++i) {
      if (entry(i).used) f(entry(i));
    }
  }

 private:
  /// Numbered from 1, so that 0 can stand for none.
  [[nodiscard]] Entry& entry(std::uint64_t at) const {
    return reinterpret_cast<Entry*>(entries_.data())[at - 1];
  }
  [[nodiscard]] std::uint32_t* chain_of(std::uint64_t key) const {
    // Multiplied so that all bits of the key reach those that are taken; the lowest are the worst
    // mixed.
    const std::uint64_t hash = key * 0x9E3779B97F4A7C15U >> 24U;
    return reinterpret_cast<std::uint32_t*>(chains_.data()) + (hash & (chain_count_ - 1));
  }

  std::uint64_t capacity_;
  std::uint64_t chain_count_;  // a power of two
  PageMemory entries_;
  PageMemory chains_;  // 1 + the number of the first of each hash
  std::uint64_t used_ = 0;
  std::uint64_t size_ = 0;
  std::uint32_t free_ = 0;
};

}  // namespace uvdo
