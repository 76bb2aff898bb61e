// SPDX-License-Identifier: GPL-2.0-or-later
// A point in a journal: a block and an entry of it (volume.md, 1). On disk one number of 64
// bits; in slab journals the recovery journal's points come expanded (volume.md, 5.2).
#pragma once

#include <compare>
#include <cstdint>

namespace uvdo {

struct JournalPoint {
  std::uint64_t sequence = 0;  ///< below 2^48
  std::uint16_t entry_count = 0;

  friend constexpr auto operator<=>(const JournalPoint&, const JournalPoint&) = default;

  [[nodiscard]] constexpr std::uint64_t packed() const { return sequence << 16U | entry_count; }
  [[nodiscard]] static constexpr JournalPoint from_packed(std::uint64_t value) {
    return {value >> 16U, static_cast<std::uint16_t>(value)};
  }
  /// The point of the increment that the entry at this point of the recovery journal causes.
  [[nodiscard]] constexpr JournalPoint expanded_increment() const {
    return {sequence, static_cast<std::uint16_t>(entry_count * 2U)};
  }
  /// The point of its decrement, which comes after the increment.
  [[nodiscard]] constexpr JournalPoint expanded_decrement() const {
    return {sequence, static_cast<std::uint16_t>(entry_count * 2U + 1U)};
  }
};

}  // namespace uvdo
