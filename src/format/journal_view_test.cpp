// SPDX-License-Identifier: GPL-2.0-or-later
// Rings of journal blocks in memory, whole and damaged: what a recovery may use, what is damage,
// and what readers are shown.
#include "format/journal_view.h"

#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "format/volume_layout.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kRing = 1024;

class JournalViewTest : public ::testing::Test {
 protected:
  JournalViewTest() {
    FormatRequest request;
    request.device_bytes = 3ULL << 30U;
    request.slab_bits = 13;
    request.logical_bytes = 1ULL << 30U;
    request.nonce = 77;
    auto layout = make_volume_layout(request);
    EXPECT_TRUE(layout.ok());
    super_ = layout->super_block;
    super_.config.journal_size = kRing;
    super_.journal.journal_start = JournalSequence{1};
    super_.journal.logical_blocks_used = 5;
    super_.state = VolumeState::dirty;
  }

  [[nodiscard]] Pbn data(std::uint64_t n) const { return super_.depot.first_block + n; }

  /// Block `sequence` with `count` entries: each maps another slot of page 0 of the depot.
  void put(std::uint64_t sequence, unsigned count, std::uint64_t head = 1) {
    JournalBlockHeader header;
    header.sequence = JournalSequence{sequence};
    header.block_map_head = header.slab_journal_head = JournalSequence{head};
    header.nonce = super_.nonce;
    header.recovery_count = super_.recovery_count();
    header.check_byte = check_byte_of(header.sequence, kRing);
    header.entry_count = static_cast<std::uint16_t>(count);
    header.logical_blocks_used = sequence * 1000;
    std::vector<std::byte>& block = ring_[sequence % kRing];
    block.resize(kBlockSize);
    open_journal_block(block, header);
    for (unsigned i = 0; i < count; ++i) {
      const JournalEntry entry{JournalOperation::data_remapping, data(sequence),
                               static_cast<std::uint16_t>(i), mapped_to(data(2000 + i)), kUnmapped};
      append_journal_entry(block, i, entry, header.check_byte, header.recovery_count);
    }
  }
  void put_full(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t s = first; s <= last; ++s) put(s, kEntriesPerBlock);
  }
  void lose(std::uint64_t sequence) { ring_.erase(sequence % kRing); }
  void spoil_entry(std::uint64_t sequence) {
    encode_journal_entry(
        {JournalOperation::data_remapping, data(sequence), 3, mapped_to(Pbn{1}), {}},
        ring_[sequence % kRing].data() + kSectorSize + kJournalSectorHeaderSize);
  }

  template <class Scan>
  void show(Scan& scan) {
    for (const auto& [place, block] : ring_) scan.survey(place, block);
    scan.begin();
    const std::vector<std::byte> nothing(kBlockSize);
    while (const auto wanted = scan.wanted()) {
      const auto found = ring_.find(wanted->value() % kRing);
      scan.take(found == ring_.end() ? nothing : found->second,
                [](JournalSequence, unsigned, const JournalEntry&) {});
    }
  }
  UsableJournal usable() {
    JournalScan scan(super_);
    show(scan);
    return scan.finish();
  }
  JournalView view() {
    JournalViewBuilder builder(super_);
    show(builder);
    auto made = builder.finish();
    EXPECT_TRUE(made.ok());
    return made.ok() ? std::move(*made) : JournalView();
  }

  SuperBlock super_;
  std::map<std::uint64_t, std::vector<std::byte>> ring_;
};

TEST_F(JournalViewTest, AWholeJournalIsUsedToItsEnd) {
  put_full(1, 4);
  put(5, 30);
  const UsableJournal found = usable();
  EXPECT_FALSE(found.is_damaged());
  EXPECT_EQ(found.last.value(), 5U);
  EXPECT_EQ(found.last_entries, 30U);
  EXPECT_EQ(found.entries, 4 * 217U + 30);
  EXPECT_EQ(found.logical_blocks_used, 5030U);
  EXPECT_EQ(found.entries_behind, 0U);
}

TEST_F(JournalViewTest, NothingIsThereToBeUsedAfterASave) {
  put_full(1, 4);
  super_.journal.journal_start = JournalSequence{5};
  const UsableJournal found = usable();
  EXPECT_FALSE(found.extent.found);
  EXPECT_FALSE(found.is_damaged());
  EXPECT_EQ(found.logical_blocks_used, 5U);
}

TEST_F(JournalViewTest, ABlockThatIsMissingBeforeOneThatIsNotFullIsDamage) {
  put_full(1, 4);
  put(5, 30);
  lose(3);
  const UsableJournal found = usable();
  EXPECT_TRUE(found.is_damaged());
  EXPECT_EQ(found.last.value(), 2U);
  EXPECT_EQ(found.lost_blocks, 1U);
  EXPECT_EQ(found.blocks_behind, 2U);
  EXPECT_EQ(found.entries_behind, 217U + 30);
}

// They were written together, and not all of them arrived.
TEST_F(JournalViewTest, HolesAmongFullBlocksAtTheEndAreThoseOfAPowerCut) {
  put_full(1, 6);
  lose(3);
  lose(5);
  const UsableJournal found = usable();
  EXPECT_FALSE(found.is_damaged());
  EXPECT_EQ(found.last.value(), 2U);
  EXPECT_EQ(found.lost_blocks, 0U);
  EXPECT_EQ(found.entries_behind, 2 * 217U);
}

// An older version of it, which was not full, is still there.
TEST_F(JournalViewTest, AnOldVersionBeforeFullBlocksIsThatOfAPowerCut) {
  put_full(1, 6);
  put(3, 30);
  const UsableJournal found = usable();
  EXPECT_FALSE(found.is_damaged());
  EXPECT_EQ(found.last.value(), 3U);
  EXPECT_EQ(found.entries_behind, 3 * 217U);
  lose(2);  // which was stable before block 3 was written at all
  EXPECT_EQ(usable().lost_blocks, 1U);
}

TEST_F(JournalViewTest, NoMoreThanIsWrittenTogetherCanBeMissing) {
  put_full(1, kJournalBlocksTogether + 1);
  lose(2);
  EXPECT_FALSE(usable().is_damaged());
  put_full(kJournalBlocksTogether + 2, kJournalBlocksTogether + 2);
  EXPECT_EQ(usable().lost_blocks, 1U);
}

TEST_F(JournalViewTest, ATornBlockInTheMiddleIsDamage) {
  put_full(1, 4);
  put(5, 30);
  std::fill_n(ring_[3].begin() + 4 * kSectorSize, kSectorSize, std::byte{0});
  const UsableJournal found = usable();
  EXPECT_EQ(found.lost_blocks, 1U);
  EXPECT_EQ(found.last.value(), 3U);
  EXPECT_EQ(found.last_entries, 3 * 31U);
}

TEST_F(JournalViewTest, AnInvalidEntryIsDamageAndHeadsBehindTheEndAre) {
  put_full(1, 2);
  put(3, 9);
  spoil_entry(2);
  EXPECT_EQ(usable().invalid_entries, 1U);
  put_full(1, 6);
  put(6, 217, 6);
  lose(2);
  lose(3);
  EXPECT_FALSE(usable().is_damaged());  // it begins at block 6
  put(6, 217, 1);
  ring_[6].at(0) = std::byte{5};  // the head of the block map alone
  const UsableJournal found = usable();
  EXPECT_EQ(found.last.value(), 1U);
  EXPECT_TRUE(found.is_damaged());
}

TEST_F(JournalViewTest, ReadersSeeADamagedJournalAsARebuildUsesIt) {
  put_full(1, 4);
  put(5, 30);
  const JournalView whole = view();
  EXPECT_EQ(whole.rule, JournalView::Rule::recovery);
  EXPECT_EQ(whole.changes.size(), 4 * 217U + 30);
  lose(3);
  spoil_entry(4);
  const JournalView damaged = view();
  EXPECT_EQ(damaged.rule, JournalView::Rule::rebuild);
  EXPECT_EQ(damaged.changes.size(), 3 * 217U + 29);
  EXPECT_EQ(damaged.lost_entries, 217U);
  EXPECT_EQ(damaged.invalid_entries, 1U);
  EXPECT_EQ(damaged.losses.size(), 2U);
  EXPECT_EQ(damaged.changes.of(data(5)).size(), 30U);
  EXPECT_TRUE(damaged.changes.of(data(3)).empty());
}

TEST_F(JournalViewTest, OfAReadOnlyVolumeAllIsShownAndOnlyWhatWasStableIsMissed) {
  super_.state = VolumeState::read_only_mode;
  put_full(1, 6);
  lose(3);
  const JournalView seen = view();
  EXPECT_EQ(seen.rule, JournalView::Rule::rebuild);
  EXPECT_EQ(seen.changes.size(), 5 * 217U);
  EXPECT_EQ(seen.blocks_affected(), 0U);
  put(7, 1);
  EXPECT_EQ(view().blocks_affected(), 217U);
}

TEST_F(JournalViewTest, WhatARecoveryWouldDoIsNotGatheredWhereARebuildIsDue) {
  put_full(1, 4);
  for (const VolumeState state : {VolumeState::dirty, VolumeState::read_only_mode,
                                  VolumeState::force_rebuild, VolumeState::rebuild_for_upgrade}) {
    super_.state = state;
    JournalViewBuilder builder(super_);
    for (const auto& [place, block] : ring_) builder.survey(place, block);
    builder.begin();
    const std::vector<std::byte> nothing(kBlockSize);
    std::uint64_t told = 0;
    while (const auto wanted = builder.wanted()) {
      const auto found = ring_.find(wanted->value() % kRing);
      builder.take(found == ring_.end() ? nothing : found->second,
                   [&](JournalSequence, unsigned, const JournalEntry&) { ++told; });
    }
    const auto made = builder.finish();
    ASSERT_TRUE(made.ok());
    EXPECT_EQ(told, needs_rebuild(state) ? 0U : 4U * kEntriesPerBlock);
    EXPECT_EQ(made->entries, 4U * kEntriesPerBlock);
    EXPECT_EQ(made->usable.entries, 4U * kEntriesPerBlock);
    EXPECT_EQ(made->changes.size(), 4U * kEntriesPerBlock);
  }
}

TEST_F(JournalViewTest, TheLastChangeOfASlotStays) {
  put(1, 10);
  const std::uint8_t check = check_byte_of(JournalSequence{1}, kRing);
  append_journal_entry(
      ring_[1], 10, {JournalOperation::data_remapping, data(1), 4, mapped_to(data(9)), kUnmapped},
      check, super_.recovery_count());
  set_journal_header_heads_and_count(ring_[1], JournalSequence{1}, JournalSequence{1}, 11);
  const JournalView seen = view();
  EXPECT_EQ(seen.entries, 11U);
  ASSERT_EQ(seen.changes.size(), 10U);
  EXPECT_EQ(seen.changes.of(data(1))[4].mapping(), mapped_to(data(9)));
}

}  // namespace
}  // namespace uvdo
