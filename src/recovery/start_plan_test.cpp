// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery/start_plan.h"

#include "recovery/testing/crashed_volume.h"

namespace uvdo {
namespace {

class StartPlanTest : public testing::CrashedVolume {
 protected:
  Task<Result<StartPlan>> plan() {
    return make_start_plan(executor, device, layout.geometry, super, 1000, log_to_);
  }
  /// The plan of a start that is possible.
  Task<StartPlan> good_plan() {
    auto made = co_await plan();
    EXPECT_TRUE(made.ok());
    co_return made ? std::move(*made) : StartPlan();
  }
  [[nodiscard]] std::uint64_t changes() const {
    return device.count_of(Device::Op::write) + device.count_of(Device::Op::flush);
  }
  [[nodiscard]] std::uint64_t byte_of_journal_block(std::uint64_t sequence) const {
    return byte_of(ring().start + sequence % kRing);
  }
  const LogFunction log_to_ = log_to();
};

TEST_F(StartPlanTest, WhatWasStoppedStartsAsItIsAndItsJournalIsNotLookedAt) {
  run([this]() -> Task<void> {
    for (const VolumeState state : {VolumeState::clean, VolumeState::new_volume}) {
      super.state = state;
      const StartPlan found = co_await good_plan();
      EXPECT_EQ(found.super_block, super);
      EXPECT_FALSE(found.journal.has_value());
      EXPECT_FALSE(found.scrub_in_background);
      EXPECT_FALSE(found.damage.has_value());
    }
    EXPECT_EQ(device.requests(), 0U);
  });
}

TEST_F(StartPlanTest, AfterACrashTheJournalIsReplayedAndItsNextLifeBeginsBehindIt) {
  run([this]() -> Task<void> {
    co_await crash_with(maps(block(5), 1, 10), maps(block(5), 2, 11));
    const std::uint64_t before = changes();
    const StartPlan found = co_await good_plan();
    EXPECT_TRUE(found.journal.has_value());
    EXPECT_EQ(found.journal->entries, 2U);
    EXPECT_EQ(found.super_block.complete_recoveries, super.complete_recoveries + 1)
        << "so that no old block counts any more";
    EXPECT_EQ(found.super_block.journal.journal_start, found.journal->extent.highest_tail + 1);
    EXPECT_EQ(found.super_block.journal.logical_blocks_used, 2U);
    EXPECT_TRUE(found.scrub_in_background);
    EXPECT_EQ(found.ring.start, ring().start);
    EXPECT_EQ(changes(), before) << "that is for the recovery";
  });
}

TEST_F(StartPlanTest, ASaveInTheMiddleOfScrubbingOnlyGoesOnWithThat) {
  run([this]() -> Task<void> {
    super.state = VolumeState::recovering;
    const StartPlan found = co_await good_plan();
    EXPECT_TRUE(found.scrub_in_background);
    EXPECT_FALSE(found.journal.has_value());
    EXPECT_EQ(found.super_block, super);
    // Unless it was in use since.
    co_await crash_with(maps(block(5), 1, 10));
    EXPECT_TRUE((co_await good_plan()).journal.has_value());
  });
}

TEST_F(StartPlanTest, AnEarlierErrorLetsItOnlyBeRead) {
  run([this]() -> Task<void> {
    super.state = VolumeState::read_only_mode;
    const StartPlan found = co_await good_plan();
    EXPECT_EQ(found.damage->code(), Errc::read_only);
    EXPECT_NE(found.damage->message().find("uvdo rebuild"), std::string::npos);
  });
}

TEST_F(StartPlanTest, AJournalThatLacksWhatWasStableIsDamagedAndThatIsTold) {
  run([this]() -> Task<void> {
    std::vector<JournalEntry> entries(5UL * kEntriesPerBlock + 1, maps(block(5), 1, 10));
    co_await crash_with_all(std::move(entries));
    // The last block is not full, and so all before it were stable when it was written.
    const AlignedMemory nothing(kBlockSize);
    EXPECT_TRUE((co_await device.write(byte_of_journal_block(2), nothing.bytes())).ok());
    const StartPlan found = co_await good_plan();
    EXPECT_TRUE(found.damage.has_value());
    EXPECT_FALSE(found.journal.has_value());
    EXPECT_TRUE(has_logged("the recovery journal is damaged"));
    EXPECT_EQ(found.super_block, super) << "nothing of it was used";
  });
}

TEST_F(StartPlanTest, AJournalThatCannotBeReadLetsItOnlyBeRead) {
  run([this]() -> Task<void> {
    device.add_fault(testing::failing(Device::Op::read));
    const StartPlan found = co_await good_plan();
    EXPECT_EQ(found.damage->code(), Errc::io);
    EXPECT_FALSE(found.journal.has_value());
  });
}

TEST_F(StartPlanTest, WhatIsToBeRebuiltIsRebuiltAtOnceOrNotStarted) {
  run([this]() -> Task<void> {
    super.state = VolumeState::force_rebuild;
    device.add_fault(testing::failing(Device::Op::write));
    const auto failed = co_await plan();
    EXPECT_FALSE(failed.ok());
    EXPECT_NE(failed.error().message().find("the rebuild failed"), std::string::npos);
    device.clear_faults();
    const StartPlan found = co_await good_plan();
    EXPECT_EQ(found.super_block.state, VolumeState::clean);
    EXPECT_EQ(found.super_block.read_only_recoveries, 1U);
    EXPECT_FALSE(found.scrub_in_background);
    EXPECT_TRUE(has_logged("read-only rebuild complete"));
  });
}

}  // namespace
}  // namespace uvdo
