// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab_journal_memory.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(SlabJournalMemory, GivesBlocksOfZerosAndTakesThemBack) {
  SlabJournalMemory memory;
  EXPECT_TRUE(memory.is_short());
  memory.add(2);
  EXPECT_FALSE(memory.is_short());
  SlabJournalBlock& block = memory.take();
  EXPECT_TRUE(memory.is_short());
  block.bytes[9] = std::byte{1};
  block.first_lock = JournalSequence{5};
  memory.give(block);
  EXPECT_EQ(memory.spare(), 2U);
  SlabJournalBlock& again = memory.take();
  EXPECT_EQ(again.bytes[9], std::byte{0});
  EXPECT_EQ(again.first_lock, JournalSequence{0});
}

}  // namespace
}  // namespace uvdo
