// SPDX-License-Identifier: GPL-2.0-or-later
// Strings of bits in bytes, least significant bit first (index.md, 7.1). The functions move
// whole words: a buffer needs kBitSlack readable (and, where it is written, writable) bytes behind
// its last bit.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace uvdo {

/// Bytes that a word may reach beyond the byte of the last bit.
inline constexpr std::size_t kBitSlack = 8;
/// How many bits load_bits() gives, and store_bits() takes, at any offset.
inline constexpr unsigned kBitsAtOnce = 57;
/// How many bits BitWriter appends at once: those of kBitsAtOnce that are whole bytes.
inline constexpr unsigned kPutAtOnce = 56;

namespace detail {
/// Little-endian words at any address. Where the machine is little-endian the compiler makes one
/// move of the copy.
inline std::uint64_t load_word(const std::byte* p) {
  if constexpr (std::endian::native == std::endian::little) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, sizeof word);
    return word;
  } else {
    return load_le64(p);
  }
}
inline void store_word(std::byte* p, std::uint64_t word) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(p, &word, sizeof word);
  } else {
    store_le64(p, word);
  }
}
}  // namespace detail

/// A number of `width` one bits; width is 0..63.
constexpr std::uint64_t low_bits(unsigned width) { return (std::uint64_t{1} << width) - 1; }

/// At least 57 bits from bit `at` on; those above are anything.
inline std::uint64_t load_bits(const std::byte* bits, std::uint64_t at) {
  return detail::load_word(bits + at / 8) >> (at % 8);
}

/// Replaces `width` (0..57) bits at bit `at`; value has no bits above.
inline void store_bits(std::byte* bits, std::uint64_t at, std::uint64_t value, unsigned width) {
  const unsigned shift = at % 8;
  const std::uint64_t old = detail::load_word(bits + at / 8);
  const std::uint64_t mask = low_bits(width) << shift;
  detail::store_word(bits + at / 8, (old & ~mask) | value << shift);
}

/// Copies `count` bits between buffers that do not overlap; other bits of `to` stay.
inline void copy_bits(std::byte* to, std::uint64_t to_at, const std::byte* from,
                      std::uint64_t from_at, std::uint64_t count) {
  // Whole bytes at a time, so that both positions keep their offset within a byte.
  while (count > 56) {
    store_bits(to, to_at, load_bits(from, from_at) & low_bits(56), 56);
    to_at += 56;
    from_at += 56;
    count -= 56;
  }
  const auto rest = static_cast<unsigned>(count);
  store_bits(to, to_at, load_bits(from, from_at) & low_bits(rest), rest);
}

/// Appends numbers to a string of bits. Bits behind the end of what was written are clobbered.
class BitWriter {
 public:
  /// Starts at bit `at` of `bits`; the bits in front of it in its byte are kept.
  explicit BitWriter(std::byte* bits, std::uint64_t at = 0)
      : next_(bits + at / 8), filled_(at % 8) {
    held_ = filled_ == 0 ? 0 : load_u8(next_) & low_bits(filled_);
  }
  /// Appends the low `width` (0..kPutAtOnce) bits of value, which has no bits above them.
  void put(std::uint64_t value, unsigned width) {
    // A whole word is stored each time, and the next one begins with the bits of the byte that is
    // not full.
    held_ |= value << filled_;
    filled_ += width;
    detail::store_word(next_, held_);
    next_ += filled_ / 8;
    // A full word is shifted out in two steps: a shift by 64 is undefined.
    held_ = (held_ >> (filled_ / 8 * 4)) >> (filled_ / 8 * 4);
    filled_ %= 8;
  }
  void put_zeros(std::uint64_t count) {
    for (; count > kPutAtOnce; count -= kPutAtOnce) put(0, kPutAtOnce);
    put(0, static_cast<unsigned>(count));
  }
  void put_bytes(ConstBytes bytes) {
    for (const std::byte byte : bytes) put(std::to_integer<std::uint8_t>(byte), 8);
  }
  /// Appends `count` bits of another string that starts at bit `from_at`.
  void put_bits(const std::byte* from, std::uint64_t from_at, std::uint64_t count) {
    for (; count > kPutAtOnce; count -= kPutAtOnce, from_at += kPutAtOnce) {
      put(load_bits(from, from_at) & low_bits(kPutAtOnce), kPutAtOnce);
    }
    const auto rest = static_cast<unsigned>(count);
    put(load_bits(from, from_at) & low_bits(rest), rest);
  }
  /// The bit behind the last one written, counted from the first bit of `bits`.
  [[nodiscard]] std::uint64_t position(const std::byte* bits) const {
    return static_cast<std::uint64_t>(next_ - bits) * 8 + filled_;
  }

 private:
  std::byte* next_;
  std::uint64_t held_ = 0;  // the bits of *next_ already written
  unsigned filled_;         // how many: 0..7
};

}  // namespace uvdo
