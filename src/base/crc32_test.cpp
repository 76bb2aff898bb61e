// SPDX-License-Identifier: GPL-2.0-or-later
// The checksum against the check value of the format, and against its definition bit by bit.
#include "base/crc32.h"

#include <random>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::uint32_t bit_by_bit(ConstBytes bytes) {
  std::uint32_t reg = 0;
  for (const std::byte b : bytes) {
    reg ^= std::to_integer<std::uint32_t>(b);
    for (int i = 0; i < 8; ++i) reg = (reg >> 1U) ^ ((reg & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  return ~reg;
}

TEST(VdoCrc32, HasTheCheckValueOfTheFormat) {
  EXPECT_EQ(vdo_crc32(std::as_bytes(std::span(std::string_view("123456789")))), 0xD202D277U);
}

TEST(VdoCrc32, IsWhatItsDefinitionSaysForAllLengths) {
  std::mt19937_64 random(3);
  std::vector<std::byte> bytes;
  for (int i = 0; i < 500; ++i) {
    bytes.push_back(static_cast<std::byte>(random()));
    EXPECT_EQ(vdo_crc32(bytes), bit_by_bit(bytes)) << bytes.size();
  }
}

}  // namespace
}  // namespace uvdo
