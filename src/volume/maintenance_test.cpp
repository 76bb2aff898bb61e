// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/maintenance.h"

#include "ledger/testing/ledger_fixture.h"

namespace uvdo {
namespace {

constexpr Duration kDelay = std::chrono::milliseconds(50);

class MaintenanceTest : public testing::LedgerFixture {
 protected:
  MaintenanceTest() { life.enter(VolumeLife::Stage::in_use); }
  /// Runs with the background at work, which ends behind it.
  template <class Body>
  void run_with(bool scrubs, Body body) {
    run([&, this]() -> Task<void> {
      Maintenance maintenance(executor, life, notifier, *ledger, kDelay, log_to());
      maintenance.start(scrubs);
      co_await body(maintenance);
      for (const auto stage :
           {VolumeLife::Stage::leaving, VolumeLife::Stage::stopping, VolumeLife::Stage::ending}) {
        life.enter(stage);
      }
      co_await maintenance.end();
    });
  }
  Task<void> sleep(Duration time) {
    Alarm alarm(executor);
    co_await alarm.sleep(time);
  }
  /// So many entries in the journal, which change a block to and fro.
  Task<void> change(std::uint64_t times) {
    LeafPin leaf = co_await leaf_of(Lbn{1});
    for (std::uint64_t n = 0; n < times; ++n) {
      const BlockMapping mapping = leaf->entry(1) == kUnmapped ? kMappedZero : kUnmapped;
      EXPECT_TRUE(ledger->remap(*leaf, Lbn{1}, mapping, Ledger::Owner::caller).ok());
    }
  }
  [[nodiscard]] bool is_stable() const {
    return ledger->journal().is_committed(ledger->journal().last_point());
  }

  VolumeLife life;
};

TEST_F(MaintenanceTest, WhatWasWrittenIsStableACommitDelayLater) {
  run_with(false, [this](Maintenance& maintenance) -> Task<void> {
    co_await change(1);
    maintenance.note_new_entries();
    co_await sleep(kDelay / 2);
    EXPECT_FALSE(is_stable()) << "others may still share its commit";
    co_await change(1);
    maintenance.note_new_entries();
    co_await sleep(kDelay);
    EXPECT_TRUE(is_stable());
  });
}

TEST_F(MaintenanceTest, ManyFullBlocksDoNotWaitThatLong) {
  run_with(false, [this](Maintenance& maintenance) -> Task<void> {
    co_await change(64ULL * kEntriesPerBlock + 1);
    maintenance.note_new_entries();
    const TimePoint before = executor.now();
    while (ledger->journal().unwritten_blocks() > 0) co_await executor.next_turn();
    EXPECT_LT(executor.now() - before, kDelay / 2);
  });
}

TEST_F(MaintenanceTest, WhereNothingIsNewNothingIsWritten) {
  run_with(false, [this](Maintenance&) -> Task<void> {
    const std::uint64_t before = device.requests();
    co_await sleep(std::chrono::hours(3));
    EXPECT_EQ(device.requests(), before);
  });
}

TEST_F(MaintenanceTest, AfterAFailedCommitTheVolumeIsReadOnlyAndNothingMoreIsTried) {
  run_with(false, [this](Maintenance& maintenance) -> Task<void> {
    co_await change(1);
    device.add_fault(testing::failing(Device::Op::write));
    maintenance.note_new_entries();
    co_await sleep(2 * kDelay);
    EXPECT_TRUE(notifier.is_read_only());
    const std::uint64_t before = device.requests();
    maintenance.note_new_entries();
    co_await sleep(2 * kDelay);
    EXPECT_EQ(device.requests(), before);
  });
}

TEST_F(MaintenanceTest, WhatHoldsTheOldestPartOfAFullRingIsWrittenSoThatItGoesRound) {
  for (Partition& partition : layout->super_block.layout.partitions) {
    if (partition.id == PartitionId::recovery_journal) partition.blocks = 256;
  }
  make_ledger(device);
  run_with(false, [this](Maintenance& maintenance) -> Task<void> {
    RecoveryJournal& journal = ledger->journal();
    co_await change(1);
    const JournalSequence oldest = *ledger->map().oldest_dirty();
    co_await change(journal.usable_blocks() * 3 / 4 * kEntriesPerBlock);
    EXPECT_EQ(*ledger->map().oldest_dirty(), oldest);
    EXPECT_EQ(journal.durable_head(), oldest);
    maintenance.note_new_entries();
    co_await sleep(2 * kDelay);
    EXPECT_LE(journal.blocks_in_use(), journal.usable_blocks() / 2 + 1);
  });
}

TEST_F(MaintenanceTest, SlabsThatACrashHasLeftAreScrubbedAndThatIsSaid) {
  run([this]() -> Task<void> {
    co_await change(1);
    LeafPin leaf = co_await leaf_of(Lbn{2});
    EXPECT_TRUE(ledger->remap(*leaf, Lbn{2}, mapped_to(new_block()), Ledger::Owner::caller).ok());
    leaf = LeafPin();
    // The slab's journal is written, its counts are not.
    EXPECT_TRUE((co_await ledger->journal().commit_all()).ok());
    EXPECT_TRUE((co_await ledger->map().save()).ok());
    EXPECT_TRUE((co_await ledger->depot().write_back(ledger->journal().tail() + 1)).ok());
    make_ledger(device);
    EXPECT_TRUE((co_await ledger->depot().load_summary(1)).ok());
    EXPECT_TRUE((co_await ledger->depot().load_journals()).ok());
    EXPECT_EQ(ledger->depot().unscrubbed(), 1U);
    Maintenance maintenance(executor, life, notifier, *ledger, kDelay, log_to());
    maintenance.start(true);
    while (ledger->depot().unscrubbed() > 0) co_await ledger->depot().wait_for_scrub();
    co_await settle();
    EXPECT_EQ(log.size(), 2U);
    EXPECT_NE(log.front().find("entering recovery mode"), std::string::npos);
    EXPECT_EQ(log.back(), "exiting recovery mode");
    life.enter(VolumeLife::Stage::leaving);
    life.enter(VolumeLife::Stage::stopping);
    life.enter(VolumeLife::Stage::ending);
    co_await maintenance.end();
  });
}

}  // namespace
}  // namespace uvdo
