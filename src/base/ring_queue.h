// SPDX-License-Identifier: GPL-2.0-or-later
// A queue in one array that goes round: unlike std::deque it takes memory only when it has to hold
// more than ever before, so that what flows through it in a steady state allocates nothing.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"

namespace uvdo {

template <class T>
class RingQueue {
 public:
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// The element at a place counted from the front.
  [[nodiscard]] T& operator[](std::size_t i) { return slots_[place(i)]; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return slots_[place(i)]; }
  [[nodiscard]] T& front() { return (*this)[0]; }
  [[nodiscard]] const T& front() const { return (*this)[0]; }
  [[nodiscard]] T& back() { return (*this)[size_ - 1]; }
  [[nodiscard]] const T& back() const { return (*this)[size_ - 1]; }

  /// Takes the memory for `count` elements, without using it yet: few elements stay close together.
  void reserve(std::size_t count) { slots_.reserve(std::max(kFewest, std::bit_ceil(count))); }
  /// Takes memory if there are more than ever before; references to elements end then.
  void push_back(T value) {
    if (size_ == slots_.size()) grow();
    slots_[place(size_)] = std::move(value);
    ++size_;
  }
  void pop_front() {
    check(size_ > 0, "an empty queue has no front");
    // What it held is let go of now, and not when the place is used again.
    slots_[first_] = T{};
    first_ = place(1);
    --size_;
  }

 private:
  static constexpr std::size_t kFewest = 8;

  [[nodiscard]] std::size_t place(std::size_t i) const {
    return (first_ + i) & (slots_.size() - 1);
  }
  void grow() {
    const std::size_t old = slots_.size();
    slots_.resize(old == 0 ? kFewest : 2 * old);
    // What went round stands behind the rest again.
    std::move(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(first_),
              slots_.begin() + static_cast<std::ptrdiff_t>(old));
  }

  std::vector<T> slots_;  // a power of two
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace uvdo
