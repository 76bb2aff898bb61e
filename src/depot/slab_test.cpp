// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

TEST(SlabTest, TheJournalOfAScrubbedOneStaysEmptyWhenTheNextBlockIsWritten) {
  const auto config = make_slab_config(8192);
  ASSERT_TRUE(config.ok());
  SlabJournalMemory journal_memory;
  journal_memory.add(kChangesAtOnce);
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

TEST(SlabTest, WithoutMemoryForAnotherBlockThereIsRoomForAsManyChangesAsAreMadeAtOnce) {
  SimExecutor executor({.seed = 1});
  const auto device = MemoryDevice::create(64 * kBlockSize);
  ASSERT_TRUE(device.ok());
  ReadOnlyNotifier notifier;
  RecoveryJournalConfig ring;
  ring.size = 64;
  RecoveryJournal journal(executor, **device, notifier, ring);
  const auto config = make_slab_config(8192);
  ASSERT_TRUE(config.ok());
  SlabJournalMemory journal_memory;
  journal_memory.add(1);
  const SlabMemory memory(*config, 1);
  Slab slab(0, *config, 77, memory.tables(0), journal_memory);
  slab.load_pristine();
  // A page of the block map among the changes makes the journal block hold fewer of them.
  ASSERT_TRUE(slab.apply(0, ReferenceOperation::block_map_increment, {1, 0}, journal));
  ASSERT_TRUE(slab.apply(1, ReferenceOperation::data_increment, {1, 0}, journal));
  ASSERT_EQ(journal_memory.spare(), 0U);
  Sbn next = 2;
  while (slab.has_room()) {
    for (std::size_t i = 0; i < kChangesAtOnce; ++i) {
      ASSERT_TRUE(slab.apply(next++, ReferenceOperation::data_increment, {1, 0}, journal));
    }
  }
  EXPECT_GE(next + kChangesAtOnce, kSlabJournalFullEntries);
}

}  // namespace
}  // namespace uvdo
