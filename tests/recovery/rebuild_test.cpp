// SPDX-License-Identifier: GPL-2.0-or-later
// Rebuilds: of whole volumes, of damaged ones, and broken off at all places.
#include "recovery/rebuild.h"

#include <algorithm>

#include "format/block_map_page.h"
#include "format/recovery_journal_block.h"
#include "recovery_fixture.h"

namespace uvdo {
namespace {

class RebuildTest : public RecoveryFixture {
 protected:
  void SetUp() override {
    RecoveryFixture::SetUp();
    use(
        [&](Volume& volume) -> Task<void> {
          for (std::uint64_t i = 0; i < 40; ++i)
            co_await write(volume, i * 811, 1 + i * 8, 1 + i % 8);
          for (std::uint64_t i = 0; i < 300; ++i) co_await write(volume, 20'000 + i, 7);
          co_await flush(volume);
        },
        End::stop);
    use(
        [&](Volume& volume) -> Task<void> {
          for (std::uint64_t i = 0; i < 40; ++i)
            co_await write(volume, i * 811 + 3, 1000 + i * 8, 2);
          co_await discard(volume, 20'000, 100);
          co_await flush(volume);
        },
        End::crash);
    set_state(VolumeState::force_rebuild);
  }
  Task<void> nothing(Volume&) { co_return; }

  RebuildReport dry_run() {
    RebuildReport report;
    run([&](BackingStore& device) -> Task<void> {
      auto geometry = decode_volume_geometry(content_.at(0));
      SuperBlock super = super_block();
      RebuildOptions options;
      options.dry_run = true;
      auto found = co_await rebuild_volume(*executor_, device, *geometry, super, options);
      EXPECT_TRUE(found.ok());
      if (found) report = std::move(*found);
    });
    EXPECT_EQ(writes_, 0U);
    return report;
  }
  /// A leaf with data in it: its page and a slot.
  std::pair<Pbn, unsigned> a_mapping() {
    const SuperBlock super = super_block();
    for (auto& [pbn, bytes] : content_) {
      if (pbn < super.depot.first_block.value() || pbn >= super.depot.last_block.value()) continue;
      if (page_status(bytes, super.nonce, Pbn{pbn}) != PageStatus::valid) continue;
      for (unsigned slot = kEntriesPerPage; slot-- > 0;) {  // the first ones are discarded later
        const BlockMapping mapping = entry(bytes, slot);
        const auto target = content_.find(mapping.pbn.value());
        if (mapping.state == kStateUncompressed && mapping.pbn != kZeroPbn &&
            target != content_.end() &&
            page_status(target->second, super.nonce, mapping.pbn) == PageStatus::invalid &&
            load_le64(target->second.data()) == 7) {
          return {Pbn{pbn}, slot};
        }
      }
    }
    ADD_FAILURE() << "no leaf was found";
    return {};
  }
};

TEST_F(RebuildTest, AWholeVolumeIsRebuiltWithoutLoss) {
  const RebuildReport report = dry_run();
  EXPECT_EQ(report.losses(), 0U);
  EXPECT_GT(report.journal_entries, 0U);
  expect_recovered();
  const SuperBlock super = super_block();
  EXPECT_EQ(super.read_only_recoveries, 1U);
  EXPECT_EQ(super.complete_recoveries, 1U);
  EXPECT_EQ(super.journal.logical_blocks_used, report.logical_blocks_used);
  EXPECT_EQ(super.journal.block_map_blocks, report.block_map_blocks);
}

TEST_F(RebuildTest, ARebuildForAnUpgradeCountsNoRecovery) {
  set_state(VolumeState::rebuild_for_upgrade);
  expect_recovered();
  EXPECT_EQ(super_block().read_only_recoveries, 0U);
  EXPECT_EQ(super_block().complete_recoveries, 0U);
}

TEST_F(RebuildTest, ARebuildBrokenOffAfterAnyWriteIsBegunAnew) {
  const DiskContent before = content_;
  for (const Survival survival : {Survival::any_sectors, Survival::everything}) {
    for (std::uint64_t n = survival == Survival::everything ? 1 : 0;; n += 2) {
      content_ = before;
      use([&](Volume& volume) { return nothing(volume); }, End::crash, survival, n);
      const bool failed = failed_;
      expect_recovered();
      if (HasFailure()) FAIL() << "after " << n << " writes";
      if (!failed) {
        EXPECT_GT(n, 40U);
        break;
      }
    }
  }
}

// With little memory the journal is gone through once for each range of pages.
TEST_F(RebuildTest, EachPageIsWrittenOnceHoweverTheJournalIsOrdered) {
  set_state(VolumeState::dirty);
  use(
      [&](Volume& volume) -> Task<void> {
        for (std::uint64_t round = 0; round < 27; ++round) {
          for (std::uint64_t i = 0; i < 40; ++i) {
            co_await write(volume, i * 811 + 10 + round, 5000 + round);
          }
        }
        co_await flush(volume);
      },
      End::crash);
  set_state(VolumeState::force_rebuild);
  const DiskContent before = content_;
  const RebuildReport report = dry_run();
  const auto rebuild = [&](std::size_t batch) {
    content_ = before;
    RebuildReport done;
    run([&](BackingStore& device) -> Task<void> {
      auto geometry = decode_volume_geometry(content_.at(0));
      SuperBlock super = super_block();
      RebuildOptions options;
      options.replay_batch = batch;
      auto rebuilt = co_await rebuild_volume(*executor_, device, *geometry, super, options);
      EXPECT_TRUE(rebuilt.ok());
      if (rebuilt) done = std::move(*rebuilt);
    });
    EXPECT_EQ(done.journal_entries, report.journal_entries);
    EXPECT_EQ(done.losses(), 0U);
    return writes_;
  };
  const std::uint64_t writes = rebuild(PageReplay::kBatch);
  const DiskContent rebuilt = content_;
  // Five blocks of the journal, and each has changes of forty pages.
  EXPECT_GT(report.journal_entries, 5 * 200U);
  EXPECT_LE(rebuild(40), writes + 40);  // none has a neighbour at worst
  EXPECT_EQ(content_, rebuilt);
  content_ = before;
  options_.replay_batch = 40;
  expect_recovered();
}

// What is given up is told once.
TEST_F(RebuildTest, DamageOfTheJournalIsCountedOnceHoweverOftenItIsRead) {
  const SuperBlock super = super_block();
  const JournalSequence damaged = super.journal.journal_start;
  const Pbn place =
      super.find(PartitionId::recovery_journal).start + damaged.value() % kJournalBlocks;
  const auto sector = block(place).begin() + kSectorSize;
  ASSERT_EQ(load_u8(&*sector), check_byte_of(damaged, kJournalBlocks));
  // The page of the first entry lies outside of the volume.
  std::byte* entry = &*sector + kJournalSectorHeaderSize;
  JournalEntry first = journal_entry(block(place), 0);
  first.page_pbn = super.depot.last_block + 5;
  encode_journal_entry(first, entry);
  EXPECT_EQ(dry_run().journal_entries_skipped, 1U);
  options_.replay_batch = 8;
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  EXPECT_TRUE(has_logged("1 things given up"));
  expect_consistent();
}

TEST_F(RebuildTest, MappingsThatCannotBeAreCleared) {
  const auto [leaf, slot] = a_mapping();
  set_entry(block(leaf), slot, mapped_to(Pbn{2}));
  EXPECT_EQ(dry_run().invalid_mappings, 1U);
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
  EXPECT_EQ(entry(block(leaf), slot), kUnmapped);
}

TEST_F(RebuildTest, APageOfAnotherPlaceIsTakenAsEmpty) {
  const auto [leaf, slot] = a_mapping();
  store_le64(block(leaf).data() + kPagePbnOffset, 12);
  const RebuildReport report = dry_run();
  EXPECT_EQ(report.pages_lost, 1U);
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
}

// It leads nowhere, but its parent says that it is there.
TEST_F(RebuildTest, ATreePageThatWasNeverWrittenIsCompleted) {
  const SuperBlock super = super_block();
  Pbn parent;
  for (auto& [pbn, bytes] : content_) {
    if (pbn < super.block_map.root_origin.value() + kBlockMapRoots) continue;
    if (page_status(bytes, super.nonce, Pbn{pbn}) != PageStatus::valid) continue;
    const Pbn child = entry(bytes, 0).pbn;
    const auto page = content_.find(child.value());
    if (page != content_.end() &&
        page_status(page->second, super.nonce, child) == PageStatus::valid) {
      parent = Pbn{pbn};
    }
  }
  ASSERT_NE(parent, Pbn{0});
  set_initialized(block(parent), false);
  EXPECT_GT(dry_run().block_map_blocks, 0U);
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
}

TEST_F(RebuildTest, IncrementsOfAnOldJournalAreApplied) {
  const auto [leaf, slot] = a_mapping();
  const BlockMapping mapping = entry(block(leaf), slot);
  const SuperBlock super = super_block();
  const Pbn journal = super.find(PartitionId::recovery_journal).start;
  for (std::uint64_t i = 0; i < kJournalBlocks; ++i) content_.erase((journal + i).value());
  JournalBlockHeader header;
  header.sequence = super.journal.journal_start;
  header.block_map_head = header.slab_journal_head = header.sequence;
  header.nonce = super.nonce;
  header.type = kJournalTypeOld;
  header.entry_count = 2;
  header.check_byte = check_byte_of(header.sequence, kJournalBlocks);
  header.recovery_count = super.recovery_count();
  const Pbn place = journal + header.sequence.value() % kJournalBlocks;
  open_journal_block(block(place), header);
  std::byte* sector = block(place).data() + kSectorSize;
  store_u8(sector, header.check_byte);
  store_u8(sector + 1, header.recovery_count);
  store_u8(sector + 2, 2);
  // A decrement, which says nothing, and an increment.
  std::array<std::byte, kJournalEntrySize> bytes{};
  encode_journal_entry({JournalOperation::data_remapping, leaf, 9, mapping, kUnmapped},
                       bytes.data());
  std::copy_n(bytes.data(), kOldJournalEntrySize, sector + kJournalSectorHeaderSize);
  encode_journal_entry({JournalOperation::block_map_remapping, leaf, 10, mapping, kUnmapped},
                       bytes.data());
  std::copy_n(bytes.data(), kOldJournalEntrySize,
              sector + kJournalSectorHeaderSize + kOldJournalEntrySize);
  const BlockMapping before = entry(block(leaf), 9);
  EXPECT_EQ(dry_run().journal_entries, 1U);
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
  EXPECT_EQ(entry(block(leaf), 9), before);
  EXPECT_EQ(entry(block(leaf), 10), mapping);
  EXPECT_EQ(super_block().journal.journal_start, header.sequence + 1);
}

TEST_F(RebuildTest, ATreePageReferredToTwiceIsKeptOnce) {
  const SuperBlock super = super_block();
  // Two trees that share a subtree.
  std::vector<std::uint64_t> roots;
  for (std::uint64_t r = 0; r < 60 && roots.size() < 2; ++r) {
    const auto found = content_.find((super.block_map.root_origin + r).value());
    if (found != content_.end() && entry(found->second, 0).pbn != kZeroPbn) roots.push_back(r);
  }
  ASSERT_EQ(roots.size(), 2U);
  const BlockMapping child = entry(block(super.block_map.root_origin + roots[0]), 0);
  set_entry(block(super.block_map.root_origin + roots[1]), 0, child);
  const RebuildReport report = dry_run();
  EXPECT_EQ(report.subtrees_cleared, 1U);
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
}

}  // namespace
}  // namespace uvdo
