// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/shared_words.h"

#include <array>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(SharedWords, AreFoundByWhoReadsTheMemory) {
  alignas(8) std::array<std::byte, 32> memory{};
  SharedWords words(memory);
  EXPECT_EQ(words.size(), 4U);
  words.set(3, 0x1122334455667788U);
  EXPECT_EQ(words.get(3), 0x1122334455667788U);
  EXPECT_EQ(shared_word(memory, 3), 0x1122334455667788U);
  EXPECT_EQ(shared_word(memory, 2), 0U);
}

TEST(SharedWordsDeathTest, HaveAnEnd) {
  alignas(8) std::array<std::byte, 16> memory{};
  SharedWords words(memory);
  EXPECT_DEATH(words.set(2, 1), "beyond its memory");
  EXPECT_DEATH(static_cast<void>(shared_word(memory, 2)), "beyond its memory");
}

}  // namespace
}  // namespace uvdo
