// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery/replay_crash.h"

#include "recovery/testing/crashed_volume.h"

namespace uvdo {
namespace {

constexpr std::size_t kAllAtOnce = 1000;

class ReplayCrashTest : public testing::CrashedVolume {
 protected:
  /// Finds out what the journal has.
  Task<void> look() {
    auto found = co_await find_usable_journal(blocks, ring(), super);
    EXPECT_TRUE(found.ok());
    usable = *found;
    next = super;
    ++next.complete_recoveries;
    next.journal.journal_start = usable.extent.highest_tail + 1;
  }
  [[nodiscard]] Crash crash() const { return {executor_of(), blocks, next, usable, ring(), logs}; }
  Task<Result<void>> recover_map(std::size_t batch = kAllAtOnce) {
    co_return co_await recover_block_map(crash(), batch);
  }
  /// Brings the journal into the slabs of a volume that is started now.
  Task<Result<void>> recover(InUse& volume) {
    auto done = co_await volume.depot.load_summary(1);
    EXPECT_TRUE(done.ok());
    co_return co_await recover_slabs(crash(), volume.depot);
  }
  /// An entry of a page as a power cut now leaves it, if there is that page.
  [[nodiscard]] std::optional<BlockMapping> on_disk(Pbn page, unsigned slot) const {
    const AlignedMemory found = page_at(page);
    if (page_status(found.bytes(), super.nonce, page) != PageStatus::valid) return std::nullopt;
    return entry(found.bytes(), slot);
  }
  [[nodiscard]] Executor& executor_of() const { return const_cast<SimExecutor&>(executor); }

  const Pbn leaf = block(5);
  const Pbn other_leaf = block(6);
  UsableJournal usable;
  SuperBlock next;  ///< what the volume is started with
  const LogFunction logs = log_to();
};

TEST_F(ReplayCrashTest, WhatTheJournalSaysIsStableInThePagesAlsoInThoseNeverWritten) {
  run([this]() -> Task<void> {
    co_await crash_with(maps(leaf, 1, 10), maps(leaf, 2, 11),
                        maps(leaf, 1, 12, mapped_to(block(10))), maps(other_leaf, 7, 13));
    co_await look();
    EXPECT_FALSE(on_disk(leaf, 1).has_value());
    EXPECT_TRUE((co_await recover_map()).ok());
    EXPECT_EQ(on_disk(leaf, 1), mapped_to(block(12))) << "the later one";
    EXPECT_EQ(on_disk(leaf, 2), mapped_to(block(11)));
    EXPECT_EQ(on_disk(leaf, 3), kUnmapped);
    EXPECT_EQ(on_disk(other_leaf, 7), mapped_to(block(13)));
  });
}

TEST_F(ReplayCrashTest, ANewPageIsThereAlsoIfNothingWasEverPutIntoIt) {
  run([this]() -> Task<void> {
    co_await crash_with(JournalEntry{JournalOperation::block_map_remapping, other_leaf, 3,
                                     mapped_to(leaf), kUnmapped});
    co_await look();
    EXPECT_TRUE((co_await recover_map()).ok());
    EXPECT_EQ(on_disk(other_leaf, 3), mapped_to(leaf));
    EXPECT_EQ(on_disk(leaf, 0), kUnmapped);
    EXPECT_TRUE(is_initialized(page_at(leaf).bytes()));
  });
}

TEST_F(ReplayCrashTest, WithLittleMemoryThePagesGetTheSame) {
  run([this]() -> Task<void> {
    std::vector<JournalEntry> entries;
    for (std::uint16_t slot = 0; slot < 100; ++slot) {
      entries.push_back(maps(block(5 + slot % 3U), slot, 100U + slot));
    }
    co_await crash_with_all(entries);
    co_await look();
    EXPECT_TRUE((co_await recover_map(7)).ok());
    for (const JournalEntry& made : entries) {
      EXPECT_EQ(on_disk(made.page_pbn, made.slot), made.new_mapping) << made.slot;
    }
  });
}

TEST_F(ReplayCrashTest, APageOfAnotherPlaceOrOneThatCannotBeReadEndsTheRecovery) {
  run([this]() -> Task<void> {
    co_await crash_with(maps(leaf, 1, 10));
    co_await look();
    device.add_fault(testing::failing(Device::Op::read, byte_of(leaf), byte_of(leaf + 1)));
    EXPECT_EQ((co_await recover_map()).error().code(), Errc::io);
    device.clear_faults();
    AlignedMemory page(kBlockSize);
    format_page(page.bytes(), super.nonce, other_leaf);
    set_initialized(page.bytes());
    EXPECT_TRUE((co_await blocks.write(leaf, page.bytes())).ok());
    EXPECT_EQ((co_await recover_map()).error().code(), Errc::corrupt);
  });
}

TEST_F(ReplayCrashTest, SlabsGetTheChangesThatTheirJournalsLack) {
  run([this]() -> Task<void> {
    co_await crash_with(maps(leaf, 1, 10), maps(leaf, 2, 10),
                        maps(leaf, 1, 12, mapped_to(block(10))));
    co_await look();
    InUse volume(*this, next);
    EXPECT_TRUE((co_await recover(volume)).ok());
    EXPECT_TRUE(has_logged("replayed 3 journal entries into slab journals"));
    EXPECT_EQ(volume.depot.unscrubbed(), 1U) << "slabs that were never used are ready";
    EXPECT_FALSE(volume.depot.count_of(block(10)).has_value());
    EXPECT_TRUE((co_await volume.depot.scrub_all()).ok());
    EXPECT_EQ(volume.depot.count_of(block(10)), 1U);
    EXPECT_EQ(volume.depot.count_of(block(12)), 1U);
    EXPECT_EQ(volume.depot.count_of(block(11)), 0U);
  });
}

TEST_F(ReplayCrashTest, BrokenOffItIsRepeatedAndNoChangeIsMadeTwice) {
  run([this]() -> Task<void> {
    co_await crash_with(maps(leaf, 1, 10), maps(leaf, 2, 10));
    co_await look();
    {
      InUse volume(*this, next);
      EXPECT_TRUE((co_await recover_map()).ok());
      EXPECT_TRUE((co_await recover(volume)).ok());
    }
    // The power fails before the super block is written.
    device.crash(SimCrashStyle::keep_all);
    device.restart();
    log.clear();
    co_await look();
    EXPECT_EQ(usable.entries, 2U) << "the journal is as it was";
    InUse volume(*this, next);
    EXPECT_TRUE((co_await recover_map()).ok());
    EXPECT_TRUE((co_await recover(volume)).ok());
    EXPECT_TRUE(has_logged("replayed 0 journal entries into slab journals"));
    EXPECT_TRUE((co_await volume.depot.scrub_all()).ok());
    EXPECT_EQ(volume.depot.count_of(block(10)), 2U);
  });
}

TEST_F(ReplayCrashTest, SlabsThatHaveMoreThanTheJournalAreDamage) {
  run([this]() -> Task<void> {
    co_await crash_with(maps(leaf, 1, 10));
    // A slab's journal tells of an entry of a later block, which was stable then.
    InUse before(*this, super);
    EXPECT_TRUE((co_await before.depot.load_new()).ok());
    for (int n = 0; n < 300; ++n) before.journal.add(maps(leaf, 2, 11));
    const JournalPoint newest = before.journal.last_point();
    EXPECT_TRUE((co_await before.journal.commit_all()).ok());
    EXPECT_TRUE(before.depot.change(block(11), ReferenceOperation::data_increment, newest).ok());
    EXPECT_TRUE((co_await before.depot.write_back(JournalSequence{newest.sequence + 1})).ok());
    const AlignedMemory nothing(kBlockSize);
    EXPECT_TRUE(
        (co_await blocks.write(ring().start + newest.sequence % kRing, nothing.bytes())).ok());
    co_await look();
    InUse volume(*this, next);
    auto done = co_await recover(volume);
    EXPECT_EQ(done.error().code(), Errc::corrupt);
    EXPECT_NE(done.error().message().find("can be used only up to block"), std::string::npos);
  });
}

}  // namespace
}  // namespace uvdo
