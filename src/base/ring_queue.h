// SPDX-License-Identifier: GPL-2.0-or-later
// A queue in one array that goes round: unlike std::deque it takes memory only when it has to hold
// more than ever before, so that what flows through it in a steady state allocates nothing.
#pragma once

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

  /// Takes the memory for `count` elements now.
  void reserve(std::size_t count) {
    if (slots_.size() < count) move_to(std::bit_ceil(count));
  }
  void push_back(T value) {
    if (size_ == slots_.size()) move_to(slots_.empty() ? 8 : slots_.size() * 2);
    slots_[place(size_)] = std::move(value);
    ++size_;
  }
  void pop_front() {
    check(size_ > 0, "an empty queue has no front");
    slots_[first_] = T{};
    first_ = place(1);
    --size_;
  }

 private:
  [[nodiscard]] std::size_t place(std::size_t i) const {
    return (first_ + i) & (slots_.size() - 1);
  }
  void move_to(std::size_t slots) {
    std::vector<T> larger(slots);
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    slots_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> slots_;  // a power of two
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace uvdo
