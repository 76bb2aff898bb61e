// SPDX-License-Identifier: GPL-2.0-or-later
// A hash map from 64-bit keys to small values in one flat array: linear probing, at most half full.
// For the tables that every block of I/O asks: locks, cached pages.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/prefetch.h"

namespace uvdo {

template <class Value>
class FlatMap {
 public:
  /// A map that holds `expected` entries without growing.
  explicit FlatMap(std::size_t expected = 16) : slots_(std::bit_ceil(expected * 2 + 2)) {}

  /// Takes the memory for `count` entries, without using it yet: few entries stay close together.
  void reserve(std::size_t count) {
    slots_.reserve(std::bit_ceil(count * 2 + 2));
    old_.reserve(slots_.capacity());
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// The value of `key`, or nullptr. Valid until the next change of the map.
  [[nodiscard]] Value* find(std::uint64_t key) {
    for (std::size_t i = home(key); slots_[i].used; i = next(i)) {
      if (slots_[i].key == key) return &slots_[i].value;
    }
    return nullptr;
  }
  /// Lets the processor fetch what a search for `key` looks at first.
  void prefetch(std::uint64_t key) const { uvdo::prefetch(&slots_[home(key)]); }
  /// The value of `key`, made from `value` if there is none yet.
  Value& insert(std::uint64_t key, Value value) {
    // At most half full, so that a search soon meets a free slot, at which it ends.
    if ((size_ + 1) * 2 > slots_.size()) grow();
    std::size_t i = home(key);
    for (; slots_[i].used; i = next(i)) {
      if (slots_[i].key == key) return slots_[i].value;
    }
    ++size_;
    slots_[i] = Slot{key, std::move(value), true};
    return slots_[i].value;
  }
  /// Removes `key`, which must be there.
  void erase(std::uint64_t key) {
    std::size_t i = home(key);
    while (!(slots_[i].used && slots_[i].key == key)) {
      check(slots_[i].used, "erasing a key that is not in the map");
      i = next(i);
    }
    // Whoever was pushed aside by this entry moves back, so that no search ends early.
    for (std::size_t j = next(i); slots_[j].used; j = next(j)) {
      const std::size_t wanted = home(slots_[j].key);
      if (((j - wanted) & mask()) >= ((j - i) & mask())) {
        slots_[i] = std::move(slots_[j]);
        i = j;
      }
    }
    slots_[i] = Slot{};
    --size_;
  }
  /// Calls f(key, value) for all entries, in no particular order; f must not change the map.
  template <class F>
  void for_each(F&& f) {
    for (Slot& slot : slots_) {
      if (slot.used) f(slot.key, slot.value);
    }
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    Value value{};
    bool used = false;
  };
  [[nodiscard]] std::size_t mask() const { return slots_.size() - 1; }
  [[nodiscard]] std::size_t next(std::size_t i) const { return (i + 1) & mask(); }
  [[nodiscard]] std::size_t home(std::uint64_t key) const {
    // The product is well mixed in its high bits, and the mask takes low ones.
    std::uint64_t h = key * 0x9E3779B97F4A7C15U;
    h ^= h >> 32U;
    return static_cast<std::size_t>(h) & mask();
  }
  void grow() {
    // The arrays change places, and each keeps its memory.
    old_.resize(slots_.size() * 2);
    old_.swap(slots_);
    size_ = 0;
    for (Slot& slot : old_) {
      if (slot.used) insert(slot.key, std::move(slot.value));
    }
    old_.clear();
  }

  std::vector<Slot> slots_;
  std::vector<Slot> old_;  // empty but while the map grows
  std::size_t size_ = 0;
};

}  // namespace uvdo
