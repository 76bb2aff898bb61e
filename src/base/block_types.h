// SPDX-License-Identifier: GPL-2.0-or-later
// Strong types for the numbers of a VDO volume. Swapped block numbers are the worst mistakes of
// this domain; these types make them compile errors.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace uvdo {

/// A 64-bit number that only mixes with its own kind: differences and offsets are plain integers.
template <class Tag>
class Number {
 public:
  constexpr Number() = default;
  constexpr explicit Number(std::uint64_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }

  friend constexpr auto operator<=>(Number, Number) = default;
  friend constexpr Number operator+(Number n, std::uint64_t offset) {
    return Number(n.value_ + offset);
  }
  friend constexpr Number operator-(Number n, std::uint64_t offset) {
    return Number(n.value_ - offset);
  }
  /// Distance between two numbers of a kind.
  friend constexpr std::uint64_t operator-(Number a, Number b) { return a.value_ - b.value_; }
  constexpr Number& operator+=(std::uint64_t offset) {
    value_ += offset;
    return *this;
  }
  constexpr Number& operator++() {
    ++value_;
    return *this;
  }

 private:
  std::uint64_t value_ = 0;
};

/// Logical block number: 4096-byte block of the device that clients see.
using Lbn = Number<struct LbnTag>;
/// Physical block number: block of the backing device plus the geometry's bio offset
/// (volume.md, 1). As a mapping target, 0 means "a block of zeros".
using Pbn = Number<struct PbnTag>;
/// Sequence number of a recovery journal block.
using JournalSequence = Number<struct JournalSequenceTag>;
/// Sequence number of a slab journal block.
using SlabSequence = Number<struct SlabSequenceTag>;

/// Number of a slab in its depot.
using SlabNumber = std::uint32_t;
/// Slab block number: offset of a block from its slab's start.
using Sbn = std::uint32_t;
/// Number of a leaf of the block map: lbn / 812.
using PageNumber = Number<struct PageNumberTag>;

inline constexpr std::size_t kBlockSize = 4096;
inline constexpr std::size_t kSectorSize = 512;
inline constexpr Pbn kZeroPbn{0};

/// Where a physical block begins on its device, in bytes, if the first one there has the number
/// `bio_offset`. Needs pbn >= bio_offset. Who reads or writes blocks has a PbnDevice, which asks
/// this.
[[nodiscard]] constexpr std::uint64_t device_byte(Pbn pbn, std::uint64_t bio_offset) {
  return (pbn.value() - bio_offset) * kBlockSize;
}

}  // namespace uvdo

template <class Tag>
struct std::hash<uvdo::Number<Tag>> {
  std::size_t operator()(uvdo::Number<Tag> n) const noexcept {
    return static_cast<std::size_t>((n.value() * 0x9E3779B97F4A7C15U) ^ (n.value() >> 29));
  }
};
