// SPDX-License-Identifier: GPL-2.0-or-later
// Each step of the hash takes 16 bytes and can be undone. So the first 16 bytes may be anything,
// and the next 16 are made such that the state behind them is the one that it was.
#include "colliding.h"

#include <bit>
#include <cstdint>

#include "format/record_name.h"

namespace uvdo::sim {
namespace {

constexpr std::uint64_t kC1 = 0x87C37B91114253D5;
constexpr std::uint64_t kC2 = 0x4CF5AD432745937F;
constexpr std::uint64_t kAdd1 = 0x52DCE729;
constexpr std::uint64_t kAdd2 = 0x38495AB5;

/// 1 / odd, modulo 2^64.
constexpr std::uint64_t inverse(std::uint64_t odd) {
  std::uint64_t x = odd;
  for (int i = 0; i < 6; ++i) x *= 2 - odd * x;
  return x;
}
static_assert(inverse(5) * 5 == 1);

struct State {
  std::uint64_t h1 = kRecordNameSeed;
  std::uint64_t h2 = kRecordNameSeed;

  void step(const std::byte* p) {
    h1 = (std::rotl(h1 ^ (std::rotl(load_le64(p) * kC1, 31) * kC2), 27) + h2) * 5 + kAdd1;
    h2 = (std::rotl(h2 ^ (std::rotl(load_le64(p + 8) * kC2, 33) * kC1), 31) + h1) * 5 + kAdd2;
  }

  /// The 16 bytes that lead from here to `to`.
  void solve(const State& to, std::byte* p) const {
    const std::uint64_t m1 = std::rotr((to.h1 - kAdd1) * inverse(5) - h2, 27) ^ h1;
    const std::uint64_t m2 = std::rotr((to.h2 - kAdd2) * inverse(5) - to.h1, 31) ^ h2;
    store_le64(p, std::rotr(m1 * inverse(kC2), 31) * inverse(kC1));
    store_le64(p + 8, std::rotr(m2 * inverse(kC1), 33) * inverse(kC2));
  }
};

}  // namespace

void make_colliding(MutableBytes block) {
  State target;
  target.step(block.data());
  target.step(block.data() + 16);
  block[0] ^= std::byte{1};
  State other;
  other.step(block.data());
  other.solve(target, block.data() + 16);
}

}  // namespace uvdo::sim
