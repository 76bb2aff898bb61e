// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "async/sim_random.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

class SlabTest : public ::testing::Test {
 protected:
  SimExecutor executor{{.seed = 1}};
  std::unique_ptr<MemoryDevice> device = std::move(*MemoryDevice::create(64 * kBlockSize));
  ReadOnlyNotifier notifier;
  RecoveryJournal journal{executor, PbnDevice(*device, 0), notifier,
                          RecoveryJournalConfig{.size = 64}};
  const SlabConfig config = *make_slab_config(8192);
};

TEST_F(SlabTest, TheJournalOfAScrubbedOneStaysEmptyWhenTheNextBlockIsWritten) {
  SlabJournalMemory journal_memory;
  journal_memory.add(kChangesAtOnce);
  const SlabMemory memory(config, 1);
  Slab slab(0, config, 77, memory.tables(0), journal_memory);
  slab.load_journal(SlabSequence{10}, SlabSequence{230}, {229, 5}, {3, 1});
  EXPECT_FALSE(slab.has_room());
  slab.journal_was_scrubbed();
  EXPECT_EQ(slab.journal_blocks_in_use(), 0U);
  // The flush before the next block is named must not bring back what scrubbing has given up.
  slab.summary_is_durable();
  EXPECT_EQ(slab.journal_blocks_in_use(), 0U);
  EXPECT_TRUE(slab.has_room());
}

TEST_F(SlabTest, CountsTheFreeBlocksOfWhateverIsLoaded) {
  SlabJournalMemory journal_memory;
  journal_memory.add(kChangesAtOnce);
  SimRandom random(3);
  for (const std::uint64_t share : {0U, 1U, 30U, 99U, 100U}) {
    const SlabMemory memory(config, 1);
    Slab slab(0, config, 77, memory.tables(0), journal_memory);
    std::uint64_t free = 0;
    for (ReferenceCount& count : slab.counts_to_load()) {
      const bool is_free = random.chance(share, 100);
      count = is_free ? kFree : static_cast<ReferenceCount>(random.between(1, kMaxReferences));
      free += is_free ? 1 : 0;
    }
    slab.load_counts();
    EXPECT_EQ(slab.free_blocks(), free);
  }
}

TEST_F(SlabTest, WithoutMemoryForAnotherBlockThereIsRoomForAsManyChangesAsAreMadeAtOnce) {
  SlabJournalMemory journal_memory;
  journal_memory.add(1);
  const SlabMemory memory(config, 1);
  Slab slab(0, config, 77, memory.tables(0), journal_memory);
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

TEST_F(SlabTest, ManyDecrementsAtOnceAreWhatTheyWouldBeOneByOne) {
  SlabJournalMemory journal_memory;
  journal_memory.add(16);
  const SlabMemory memory(config, 2);
  Slab singly(0, config, 77, memory.tables(0), journal_memory);
  Slab at_once(1, config, 77, memory.tables(1), journal_memory);
  const auto count_up = [&](Slab& slab) {
    slab.load_pristine();
    // So many that the decrements begin in one journal block and end in the next.
    for (Sbn sbn = 0; sbn < 1200; ++sbn) {
      ASSERT_TRUE(slab.apply(sbn, ReferenceOperation::data_increment, {1, 0}, journal));
    }
    ASSERT_TRUE(slab.apply(7, ReferenceOperation::data_increment, {1, 0}, journal));
  };
  count_up(singly);
  count_up(at_once);
  std::vector<Sbn> blocks{7, 7};
  for (Sbn sbn = 1190; sbn >= 1000; --sbn) blocks.push_back(sbn);
  std::vector<std::uint16_t> wanted;
  for (std::uint16_t i = 0; i < blocks.size(); ++i) {
    const JournalPoint point{2, static_cast<std::uint16_t>(10 + i)};
    const auto freed = singly.apply(blocks[i], ReferenceOperation::data_decrement, point, journal);
    ASSERT_TRUE(freed.ok());
    if (*freed) wanted.push_back(i);
  }
  std::vector<std::uint16_t> freed(blocks.size());
  ASSERT_TRUE(at_once.has_room(blocks.size()));
  const auto dropped = at_once.drop(blocks, {2, 10}, journal, freed);
  ASSERT_TRUE(dropped.ok());
  freed.resize(*dropped);
  EXPECT_EQ(freed, wanted);
  EXPECT_EQ(at_once.last_point(), singly.last_point());
  EXPECT_EQ(at_once.last_recovery_entry(), singly.last_recovery_entry());
  EXPECT_EQ(at_once.recovery_point(), singly.recovery_point());
  EXPECT_EQ(at_once.dirty_reference_blocks(), singly.dirty_reference_blocks());
  for (Sbn sbn = 0; sbn < 1300; ++sbn) ASSERT_EQ(at_once.count(sbn), singly.count(sbn)) << sbn;
  ASSERT_TRUE(at_once.has_closed() && singly.has_closed());
  const SlabJournalBlock& one = *singly.oldest_closed();
  const SlabJournalBlock& other = *at_once.oldest_closed();
  EXPECT_EQ(one.header, other.header);
  EXPECT_TRUE(std::ranges::equal(one.bytes, other.bytes));
  std::vector<std::uint32_t> entries[2];
  const auto gather = [](std::vector<std::uint32_t>& into) {
    return [&into](JournalPoint, SlabJournalEntry entry) { into.push_back(entry.sbn); };
  };
  singly.for_each_unnamed_entry(gather(entries[0]));
  at_once.for_each_unnamed_entry(gather(entries[1]));
  EXPECT_EQ(entries[0], entries[1]);
}

TEST_F(SlabTest, ADecrementTooManyAmongManyIsAnError) {
  SlabJournalMemory journal_memory;
  journal_memory.add(4);
  const SlabMemory memory(config, 1);
  Slab slab(0, config, 77, memory.tables(0), journal_memory);
  slab.load_pristine();
  ASSERT_TRUE(slab.apply(3, ReferenceOperation::data_increment, {1, 0}, journal));
  const std::vector<Sbn> blocks{3, 3};
  std::vector<std::uint16_t> freed(blocks.size());
  const auto dropped = slab.drop(blocks, {1, 1}, journal, freed);
  ASSERT_FALSE(dropped.ok());
  EXPECT_EQ(dropped.error().code(), Errc::corrupt);
}

}  // namespace
}  // namespace uvdo
