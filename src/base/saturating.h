// SPDX-License-Identifier: GPL-2.0-or-later
// Differences of counts that may have been read at different moments, or come from elsewhere.
#pragma once

#include <cstdint>

namespace uvdo {

/// `a` - `b`; 0 where `b` is larger. Whatever is derived from two counters is a difference of this
/// kind: a plain one would wrap to nearly 2^64.
[[nodiscard]] constexpr std::uint64_t difference(std::uint64_t a, std::uint64_t b) {
  return a > b ? a - b : 0;
}

/// `part` of `whole` in percent; 0 of nothing.
[[nodiscard]] constexpr double percent_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace uvdo
