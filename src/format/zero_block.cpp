// SPDX-License-Identifier: GPL-2.0-or-later
// The test for zeros: most blocks fail it in their first bytes, so it looks at those alone first.
#include "format/zero_block.h"

#include <cstdint>
#include <cstring>

#include "base/block_types.h"

namespace uvdo {
namespace {

std::uint64_t word(const std::byte* p) {
  std::uint64_t value = 0;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

bool is_zero_block(const std::byte* block) {
  if (word(block) != 0) return false;
  constexpr std::size_t kStep = 128;
  for (std::size_t at = 0; at < kBlockSize; at += kStep) {
    std::uint64_t any[4] = {};  // four chains of ORs run side by side
    for (std::size_t i = 0; i < kStep; i += 32) {
      const std::byte* p = block + at + i;
      any[0] |= word(p);
      any[1] |= word(p + 8);
      any[2] |= word(p + 16);
      any[3] |= word(p + 24);
    }
    if ((any[0] | any[1] | any[2] | any[3]) != 0) return false;
  }
  return true;
}

}  // namespace uvdo
