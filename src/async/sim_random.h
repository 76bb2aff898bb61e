// SPDX-License-Identifier: GPL-2.0-or-later
// The random numbers of the deterministic simulation: small, fast, the same on every machine.
#pragma once

#include <cstdint>

namespace uvdo {

/// Spreads the bits of `x` over all 64 bits; a bijection.
[[nodiscard]] constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x ^= x >> 30U;
  x *= 0xBF58476D1CE4E5B9U;
  x ^= x >> 27U;
  x *= 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

/// A stream of random numbers that its seed determines.
class SimRandom {
 public:
  constexpr explicit SimRandom(std::uint64_t seed) : state_(mix_bits(seed ^ 0x5DEECE66DU)) {}
  constexpr std::uint64_t next() { return mix_bits(state_ += 0x9E3779B97F4A7C15U); }
  /// 0 .. bound - 1.
  constexpr std::uint64_t below(std::uint64_t bound) {
    if (bound <= 0xFFFFFFFFU) return ((next() >> 32U) * bound) >> 32U;
    return next() % bound;
  }
  /// low .. high.
  constexpr std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  /// True `parts` times in `whole`.
  constexpr bool chance(std::uint64_t parts, std::uint64_t whole) { return below(whole) < parts; }
  /// A stream of its own, so that who uses more of one stream does not shift another.
  [[nodiscard]] constexpr SimRandom fork() { return SimRandom(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace uvdo
