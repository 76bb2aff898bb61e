// SPDX-License-Identifier: GPL-2.0-or-later
// Counts of those who are under way, by when they entered: what those who wait for "all that began
// before now" need. Whoever enters after a close() is never among those that it waits for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/ring_queue.h"

namespace uvdo {

class Generations {
 public:
  /// The number of a generation; later ones have larger numbers.
  using Number = std::uint64_t;

  Generations() { members_.push_back(0); }
  /// Takes the memory for `count` generations that last at once now.
  void reserve(std::size_t count) { members_.reserve(count); }

  /// Somebody joins the generation that is open; he gives the number back with leave().
  Number enter() {
    ++members_.back();
    return open();
  }
  /// Whether that ends the oldest generation, which may be the open one.
  bool leave(Number number) {
    check(number >= first_ && number - first_ < members_.size(), "no such generation");
    --members_[number - first_];
    if (members_.front() != 0) return false;
    while (members_.size() > 1 && members_.front() == 0) {
      members_.pop_front();
      ++first_;
    }
    return true;
  }
  /// Nobody joins any more who has not by now. Gives the last generation that is closed: all who
  /// are under way are in it or in earlier ones.
  Number close() {
    if (members_.back() != 0) members_.push_back(0);
    return open() - 1;
  }
  /// Whether all who entered `number` and earlier ones have left.
  [[nodiscard]] bool is_over(Number number) const {
    return number < first_ || (number == first_ && members_.front() == 0);
  }

 private:
  [[nodiscard]] Number open() const { return first_ + members_.size() - 1; }

  Number first_ = 1;                  // the oldest that may have members
  RingQueue<std::uint32_t> members_;  // by generation; the last is open
};

}  // namespace uvdo
