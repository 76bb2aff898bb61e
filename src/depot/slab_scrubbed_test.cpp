// SPDX-License-Identifier: GPL-2.0-or-later
// The slab journal of a slab that has just been scrubbed.
#include <gtest/gtest.h>

#include "depot/slab.h"

namespace uvdo {
namespace {

TEST(ScrubbedSlabTest, ItsJournalStaysEmptyWhenTheNextBlockIsWritten) {
  const auto config = make_slab_config(8192);
  ASSERT_TRUE(config.ok());
  SlabJournalMemory journal_memory;
  journal_memory.add(Slab::kChangesAtOnce);
  const SlabMemory memory(*config, 1);
  Slab slab(0, *config, 77, memory.tables(0), journal_memory);
  slab.load_journal(SlabSequence{10}, SlabSequence{230}, {229, 5}, {3, 1});
  EXPECT_FALSE(slab.has_room());
  slab.journal_was_scrubbed();
  EXPECT_EQ(slab.journal_blocks_in_use(), 0U);
  // The flush before the next block is named must not bring back what scrubbing has given up.
  slab.summary_is_durable();
  EXPECT_EQ(slab.journal_blocks_in_use(), 0U);
  EXPECT_TRUE(slab.has_room());
}

}  // namespace
}  // namespace uvdo
