// SPDX-License-Identifier: GPL-2.0-or-later
// Which sizes of fragments there are, for finding the largest that fits into a gap at once.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/block_types.h"
#include "base/check.h"

namespace uvdo {

/// A set of sizes of 0 .. 4095 bytes.
/// Two levels of 64 bits each, so that a search looks at two words.
class SizeSet {
 public:
  void insert(std::size_t size) {
    words_[word_of(size)] |= bit_of(size);
    used_words_ |= bit_of(word_of(size));
  }
  void erase(std::size_t size) {
    words_[word_of(size)] &= ~bit_of(size);
    if (words_[word_of(size)] == 0) used_words_ &= ~bit_of(word_of(size));
  }
  /// The largest size in the set that is not larger than `size`.
  [[nodiscard]] std::optional<std::size_t> largest_up_to(std::size_t size) const {
    const std::size_t word = word_of(size);
    if (const std::uint64_t here = words_[word] & up_to(size)) return word * 64 + highest(here);
    const std::uint64_t below = used_words_ & (bit_of(word) - 1);
    if (below == 0) return std::nullopt;
    return highest(below) * 64 + highest(words_[highest(below)]);
  }

 private:
  static std::size_t word_of(std::size_t size) {
    check(size < kBlockSize, "a fragment cannot be so large");
    return size / 64;
  }
  static std::uint64_t bit_of(std::size_t position) { return std::uint64_t{1} << position % 64; }
  static std::uint64_t up_to(std::size_t size) { return bit_of(size) | (bit_of(size) - 1); }
  static std::size_t highest(std::uint64_t word) {
    return static_cast<std::size_t>(63 - std::countl_zero(word));
  }

  std::array<std::uint64_t, kBlockSize / 64> words_{};
  std::uint64_t used_words_ = 0;  // a bit for each of words_ that is not zero
};
static_assert(kBlockSize / 64 == 64);

}  // namespace uvdo
