// SPDX-License-Identifier: GPL-2.0-or-later
// 64-bit numbers in memory that another process finds when this one has died. At whatever
// instruction it ended, the other sees what was set before, and in that order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace uvdo {

class SharedWords {
 public:
  SharedWords() = default;
  /// `bytes` begin at a multiple of 8 and outlive this.
  explicit SharedWords(MutableBytes bytes)
      : words_(reinterpret_cast<std::uint64_t*>(bytes.data())),
        count_(bytes.size() / sizeof(std::uint64_t)) {}

  void set(std::size_t index, std::uint64_t value) {
    check(index < count_, "a number beyond its memory");
    // Not before anything that the program has stored until now.
    std::atomic_ref(words_[index]).store(value, std::memory_order_release);
  }
  [[nodiscard]] std::uint64_t get(std::size_t index) const {
    check(index < count_, "a number beyond its memory");
    return std::atomic_ref(words_[index]).load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  std::uint64_t* words_ = nullptr;
  std::size_t count_ = 0;
};

/// Number `index` of memory that somebody else has filled. Needs (index + 1) * 8 bytes.
[[nodiscard]] inline std::uint64_t shared_word(ConstBytes bytes, std::size_t index) {
  check((index + 1) * sizeof(std::uint64_t) <= bytes.size(), "a number beyond its memory");
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
  return value;
}

}  // namespace uvdo
