// SPDX-License-Identifier: GPL-2.0-or-later
// Crashes at chosen and at all places, and what a recovery makes of them.
#include <cstring>

#include "format/journal_extent.h"
#include "format/slab_journal_block.h"
#include "format/slab_layout.h"
#include "format/slab_summary.h"
#include "recovery_fixture.h"

namespace uvdo {
namespace {

class RecoveryTest : public RecoveryFixture {
 protected:
  /// Some of everything: unique and equal blocks, discards, flushed and not.
  Task<void> busy(Volume& volume, std::uint64_t seed) {
    for (std::uint64_t i = 0; i < 40; ++i) {
      co_await write(volume, (seed * 37 + i * 811) % 40'000, seed * 1000 + i, 1 + i % 8);
    }
    co_await write(volume, 5, 7, 4);
    co_await write(volume, 500 + seed, 7, 4);
    co_await discard(volume, 811, 300);
    co_await flush(volume);
    for (std::uint64_t i = 0; i < 20; ++i) {
      co_await write(volume, (seed * 37 + i * 811) % 40'000, seed * 2000 + i, 2);
    }
    co_await discard(volume, 5, 2);
  }
  Task<void> nothing(Volume&) { co_return; }

  /// The journal block that was committed last, as it is on the disk.
  std::pair<Pbn, JournalBlockHeader> last_journal_block() {
    const SuperBlock super = super_block();
    const Pbn start = super.find(PartitionId::recovery_journal).start;
    std::pair<Pbn, JournalBlockHeader> last;
    for (std::uint64_t i = 0; i < kJournalBlocks; ++i) {
      const auto found = content_.find((start + i).value());
      if (found == content_.end()) continue;
      const JournalBlockHeader header = decode_journal_header(found->second);
      if (counts(header, super.nonce, super.recovery_count(), kJournalBlocks, i) &&
          header.sequence > last.second.sequence) {
        last = {start + i, header};
      }
    }
    return last;
  }
};

TEST_F(RecoveryTest, FlushedBlocksSurviveACrash) {
  for (const Survival survival : {Survival::nothing, Survival::everything, Survival::any_sectors}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      use([&](Volume& volume) { return busy(volume, seed); }, End::crash, survival);
      EXPECT_EQ(super_block().state, VolumeState::dirty);
      const std::uint64_t recoveries = super_block().complete_recoveries;
      expect_recovered();
      EXPECT_EQ(super_block().complete_recoveries, recoveries + 1);
      if (HasFailure()) return;
    }
  }
  EXPECT_TRUE(has_logged("device was dirty, rebuilding reference counts"));
  EXPECT_TRUE(has_logged("journal entries into slab journals"));
}

TEST_F(RecoveryTest, ACrashAfterAnyWriteIsRecovered) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  const DiskContent before = content_;
  for (std::uint64_t n = 0;; n += 3) {
    content_ = before;
    use([&](Volume& volume) { return busy(volume, 2); }, End::stop, Survival::any_sectors, n);
    const bool failed = failed_;
    expect_recovered();
    if (!failed || HasFailure()) {
      EXPECT_GT(n, 20U);
      break;
    }
  }
}

TEST_F(RecoveryTest, ACrashAfterAnyWriteOfARecoveryIsRecovered) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  use([&](Volume& volume) { return busy(volume, 2); }, End::crash, Survival::any_sectors);
  const DiskContent before = content_;
  for (const Survival survival : {Survival::any_sectors, Survival::nothing, Survival::everything}) {
    for (std::uint64_t n = 0;; ++n) {
      content_ = before;
      // Twice at the same place, then to the end.
      for (int i = 0; i < 2; ++i) {
        use([&](Volume& volume) { return nothing(volume); }, End::crash, survival, n);
      }
      const bool failed = failed_;
      expect_recovered();
      if (HasFailure()) FAIL() << "after " << n << " writes";
      if (!failed) {
        EXPECT_GT(n, 20U);
        break;
      }
    }
  }
}

TEST_F(RecoveryTest, TheRecoveryJournalGoesRoundItsRing) {
  use(
      [&](Volume& volume) -> Task<void> {
        for (std::uint64_t i = 0; i < 1000; ++i) {
          co_await write(volume, 32 * (i % 70), 1 + (i * 13 % 89) * 8, 32);
          if (i % 100 == 99) co_await flush(volume);
        }
        EXPECT_GT(volume.journal().tail().value(), 2 * kJournalBlocks);
      },
      End::crash, Survival::any_sectors);
  EXPECT_GT(last_journal_block().second.sequence.value(), 2 * kJournalBlocks);
  expect_recovered();
  use([&](Volume& volume) { return busy(volume, 3); }, End::crash);
  expect_recovered();
}

TEST_F(RecoveryTest, SlabJournalsGoRoundTheirRings) {
  // Each save writes at least one block of the journal of a slab that was changed.
  for (std::uint64_t i = 0; i < 240; ++i) {
    use(
        [&](Volume& volume) -> Task<void> {
          co_await write(volume, i % 3, 10 + i);
          co_await flush(volume);
        },
        End::stop);
    if (HasFailure()) FAIL() << "start " << i;
  }
  use([&](Volume& volume) { return busy(volume, 4); }, End::crash, Survival::any_sectors);
  const SlabLayout slabs(super_block().depot);
  const Pbn summary = super_block().find(PartitionId::slab_summary).start;
  const auto entry = summary_entry(block(summary), 0);
  const auto header = decode_slab_journal_header(
      block(slabs.journal_block_at(0, (entry.tail_offset + 223U) % 224U)));
  EXPECT_GT(header.sequence.value(), 224U);
  expect_recovered();
}

TEST_F(RecoveryTest, GoodSectorsOfATornJournalBlockAreUsed) {
  use(
      [&](Volume& volume) -> Task<void> {
        for (std::uint64_t i = 0; i < 45; ++i) {
          co_await write(volume, i, 100 + i);
          co_await flush(volume);  // so that the entries are in this order
        }
      },
      End::crash);
  const auto [pbn, header] = last_journal_block();
  const JournalSequence last = header.sequence;
  ASSERT_GT(header.entry_count, 2 * kEntriesPerSector - 15);
  // The block's second entry sector never arrived.
  std::memset(block(pbn).data() + 2 * kSectorSize, 0, kSectorSize);
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_FALSE(volume.is_read_only());
        EXPECT_EQ(volume.journal().tail(), last + 1);
        AlignedMemory got(kBlockSize);
        EXPECT_TRUE((co_await volume.read(0, got.bytes())).ok());
        EXPECT_EQ(load_le64(got.data()), 100U);  // in the first sector
        EXPECT_TRUE((co_await volume.read(44 * kBlockSize, got.bytes())).ok());
        EXPECT_EQ(load_le64(got.data()), 0U);
      },
      End::stop);
  expect_consistent();
}

TEST_F(RecoveryTest, TheJournalEndsAtAHoleAndGoesOnAfterItsHighestBlock) {
  use(
      [&](Volume& volume) -> Task<void> {
        for (std::uint64_t i = 0; i < 20; ++i) {
          co_await write(volume, 32 * i, 1 + 32 * i, 32);
          co_await flush(volume);
        }
      },
      End::crash);
  const auto [pbn, header] = last_journal_block();
  ASSERT_EQ(header.sequence.value(), 3U);
  // Full blocks were written together, and not all of them arrived.
  content_.erase(pbn.value());        // block 3, which came behind them
  content_.erase((pbn - 2).value());  // block 1
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_FALSE(volume.is_read_only());
        EXPECT_EQ(volume.journal().tail(), JournalSequence{3});
        AlignedMemory got(kBlockSize);
        EXPECT_TRUE((co_await volume.read(0, got.bytes())).ok());
        EXPECT_EQ(load_le64(got.data()), 0U);
        EXPECT_TRUE((co_await volume.read(19 * 32 * kBlockSize, got.bytes())).ok());
        EXPECT_EQ(load_le64(got.data()), 0U);
      },
      End::stop);
  expect_consistent();
}

// What a recovery would make of the rest might be inconsistent: what depends on lost entries may be
// on the disk already.
TEST_F(RecoveryTest, ABlockMissingThatWasStableMakesTheVolumeReadOnlyUntilARebuild) {
  use(
      [&](Volume& volume) -> Task<void> {
        for (std::uint64_t i = 0; i < 20; ++i) {
          co_await write(volume, 32 * i, 1 + 32 * i, 32);
          co_await flush(volume);
        }
      },
      End::crash);
  const auto [pbn, header] = last_journal_block();
  ASSERT_EQ(header.sequence.value(), 3U);
  ASSERT_LT(header.entry_count, kEntriesPerBlock);
  content_.erase((pbn - 1).value());  // block 2
  const auto look = [&](Volume& volume, std::uint64_t lbn) -> Task<std::uint64_t> {
    AlignedMemory got(kBlockSize);
    EXPECT_TRUE((co_await volume.read(lbn * kBlockSize, got.bytes())).ok());
    co_return load_le64(got.data());
  };
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_TRUE(volume.is_read_only());
        EXPECT_EQ(co_await look(volume, 0), 1U);
        EXPECT_EQ(co_await look(volume, 19 * 32), 1U + 19 * 32);  // behind the hole
        EXPECT_NE(volume.journal_view(), nullptr);
        if (volume.journal_view() == nullptr) co_return;
        EXPECT_EQ(volume.journal_view()->blocks_affected(), 217U);
      },
      End::stop);
  EXPECT_TRUE(has_logged("a recovery does not apply the"));
  EXPECT_EQ(super_block().state, VolumeState::read_only_mode);
  set_state(VolumeState::force_rebuild);
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_FALSE(volume.is_read_only());
        EXPECT_EQ(co_await look(volume, 0), 1U);
        EXPECT_EQ(co_await look(volume, 19 * 32), 1U + 19 * 32);
      },
      End::stop);
  expect_consistent();
}

TEST_F(RecoveryTest, AFirstCommitOfWhichOnlyALaterBlockArrivedLosesNothingElse) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  const JournalSequence start = super_block().journal.journal_start;
  const std::uint64_t used = super_block().journal.logical_blocks_used;
  use(
      [&](Volume& volume) -> Task<void> {
        co_await discard(volume, 0, 40'000);
        co_await flush(volume);
      },
      End::crash);
  const Pbn journal = super_block().find(PartitionId::recovery_journal).start;
  content_.erase((journal + start.value() % kJournalBlocks).value());
  // What is not full would have been written later.
  const auto [last, header] = last_journal_block();
  if (header.entry_count < kEntriesPerBlock) content_.erase(last.value());
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_FALSE(volume.is_read_only());
        EXPECT_EQ(volume.journal().logical_blocks_used(), used);
        co_return;
      },
      End::stop);
  expect_consistent();
}

TEST_F(RecoveryTest, AnInvalidJournalEntryMakesTheVolumeReadOnlyUntilARebuild) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  use(
      [&](Volume& volume) -> Task<void> {
        co_await write(volume, 49'000, 5, 8);
        co_await flush(volume);
      },
      End::crash);
  const JournalSequence start = super_block().journal.journal_start;
  const auto [pbn, header] = last_journal_block();
  JournalEntry bad = journal_entry(block(pbn), 2);
  bad.new_mapping = {Pbn{1}, kStateUncompressed};  // the index is no place for data
  encode_journal_entry(
      bad, block(pbn).data() + kSectorSize + kJournalSectorHeaderSize + 2 * kJournalEntrySize);
  const auto as_found = content_;
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_TRUE(volume.is_read_only());
        AlignedMemory got(kBlockSize);
        EXPECT_TRUE((co_await volume.read(0, got.bytes())).ok());
        Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
        auto written = co_await volume.write(0, std::move(buffer), Durability::cached);
        EXPECT_FALSE(written.ok());
      },
      End::stop);
  EXPECT_EQ(super_block().state, VolumeState::read_only_mode);
  EXPECT_EQ(super_block().journal.journal_start, start);
  EXPECT_EQ(super_block().complete_recoveries, 0U);
  const std::uint64_t written = writes_;
  EXPECT_EQ(written, 1U);  // the super block
  set_state(VolumeState::force_rebuild);
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_FALSE(volume.is_read_only());
        AlignedMemory got(kBlockSize);
        EXPECT_TRUE((co_await volume.read(49'007 * kBlockSize, got.bytes())).ok());
        EXPECT_EQ(load_le64(got.data()), 12U);  // the entries after the bad one are kept
      },
      End::stop);
  expect_consistent();
}

TEST_F(RecoveryTest, OldJournalsAreNotReplayed) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::crash);
  const SuperBlock super = super_block();
  const Pbn journal = super.find(PartitionId::recovery_journal).start;
  for (std::uint64_t i = 0; i < kJournalBlocks; ++i) {
    const auto found = content_.find((journal + i).value());
    if (found != content_.end()) store_u8(found->second.data() + 32, kJournalTypeOld);
  }
  may_fail_to_open_ = true;
  use(
      [&](Volume&) -> Task<void> {
        ADD_FAILURE() << "it was opened";
        co_return;
      },
      End::stop);
  EXPECT_NE(open_error_.find("old form"), std::string::npos) << open_error_;
  EXPECT_EQ(writes_, 0U);
  EXPECT_EQ(super_block().state, VolumeState::dirty);
}

/// Writers that go on until they are refused.
Task<void> write_until_refused(Executor& executor, Volume& volume, std::uint64_t number) {
  std::mt19937_64 random(number);
  while (true) {
    Buffer buffer = co_await volume.buffers().acquire(32 * kBlockSize);
    for (std::size_t i = 0; i < 32; ++i) {
      // Few contents, so that there is always room for one more reference.
      store_le64(buffer.data() + i * kBlockSize, random() % 3000 + 1);
    }
    auto done = co_await volume.write((random() % 1500) * 32 * kBlockSize, std::move(buffer),
                                      Durability::cached);
    if (!done && done.error().code() != Errc::no_space) co_return;
    co_await executor.yield();
  }
}

TEST_F(RecoveryTest, StoppingEndsWhileWritersWaitForTheJournal) {
  for (std::uint64_t turns = 1000; turns <= 9000; turns += 2000) {
    use(
        [&](Volume& volume) -> Task<void> {
          TaskGroup writers(*executor_);
          for (std::uint64_t i = 0; i < 8; ++i)
            writers.start(write_until_refused(*executor_, volume, turns + i));
          for (std::uint64_t i = 0; i < turns; ++i) co_await executor_->yield();
          auto stopped = co_await volume.stop();
          EXPECT_TRUE(stopped.ok()) << (stopped ? "" : stopped.error().message());
          co_await writers.wait();
        },
        End::leave);
    if (HasFailure()) FAIL() << "after " << turns << " turns";
    expect_consistent();
  }
}

TEST_F(RecoveryTest, EverybodyGivesUpWhenTheDeviceFails) {
  for (std::uint64_t n = 20; n < 400; n += 23) {
    use(
        [&](Volume& volume) -> Task<void> {
          TaskGroup writers(*executor_);
          for (std::uint64_t i = 0; i < 8; ++i)
            writers.start(write_until_refused(*executor_, volume, n + i));
          co_await writers.wait();
          EXPECT_TRUE(volume.is_read_only());
        },
        End::crash, Survival::any_sectors, n);
    if (HasFailure()) FAIL() << "after " << n << " writes";
  }
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
}

TEST_F(RecoveryTest, VolumesAreUsedWhileSlabsWaitForScrubbing) {
  // Blocks in many slabs.
  use(
      [&](Volume& volume) -> Task<void> {
        for (std::uint64_t i = 0; i < 150; ++i) co_await write(volume, 32 * i, 1 + 32 * i, 32);
        co_await flush(volume);
      },
      End::crash);
  for (std::uint64_t round = 0; round < 6; ++round) {
    const bool crash = round < 5;
    use(
        [&](Volume& volume) -> Task<void> {
          EXPECT_TRUE(volume.is_recovering());
          EXPECT_LT(volume.recovery_percentage(), 100U);
          EXPECT_GT(volume.depot().unscrubbed(), 2U);
          // Blocks of slabs whose counts are not known: overwritten, shared, given up, taken up
          // again.
          for (std::uint64_t i = 0; i < 30; ++i) {
            co_await write(volume, (i * 151 + round) % 4800, 100'000 * (round + 1) + i);
            co_await write(volume, 4800 + i, 1 + i * 160);
            co_await discard(volume, (i * 153 + 77 * round) % 4800, 2);
          }
          co_await flush(volume);
          co_await write(volume, round, 7);
        },
        crash ? End::crash : End::stop, Survival::any_sectors);
    if (HasFailure()) FAIL() << "round " << round;
  }
  expect_consistent();
  EXPECT_TRUE(has_logged("exiting recovery mode"));
  use([&](Volume& volume) { return check_content(volume); }, End::stop);
}

TEST_F(RecoveryTest, AWriterWaitsForScrubbingWhenTheReadySlabsAreFull) {
  // All slabs but a few blocks are full; then half of it is given up.
  std::uint64_t blocks = 0;
  use(
      [&](Volume& volume) -> Task<void> {
        for (; blocks < 190; ++blocks) co_await write(volume, 32 * blocks, 1 + 32 * blocks, 32);
        co_await flush(volume);
      },
      End::stop);
  use(
      [&](Volume& volume) -> Task<void> {
        co_await discard(volume, 0, 3000);
        co_await flush(volume);
      },
      End::crash);
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_TRUE(volume.is_recovering());
        for (std::uint64_t i = 0; i < 80; ++i) co_await write(volume, 32 * i, 50'000 + 32 * i, 32);
        co_await flush(volume);
      },
      End::stop);
  expect_consistent();
  use([&](Volume& volume) { return check_content(volume); }, End::stop);
}

TEST_F(RecoveryTest, ReadOnlyVolumesAreNotWrittenTo) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  set_state(VolumeState::read_only_mode);
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_TRUE(volume.is_read_only());
        co_await check_content(volume);
        Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
        auto written = co_await volume.write(0, std::move(buffer), Durability::cached);
        EXPECT_FALSE(written.ok());
        EXPECT_FALSE((co_await volume.discard(0, kBlockSize, Durability::cached)).ok());
        EXPECT_TRUE((co_await volume.flush()).ok());
      },
      End::stop);
  EXPECT_EQ(writes_, 0U);
}

TEST_F(RecoveryTest, AReadOnlyVolumeIsSeenThroughItsJournal) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  use([&](Volume& volume) { return busy(volume, 2); }, End::crash);
  const DiskContent crashed = content_;
  for (const VolumeState state : {VolumeState::read_only_mode, VolumeState::force_rebuild,
                                  VolumeState::rebuild_for_upgrade, VolumeState::dirty}) {
    content_ = crashed;
    set_state(state);
    const DiskContent before = content_;
    options_.access =
        state == VolumeState::read_only_mode ? VolumeAccess::read_write : VolumeAccess::read_only;
    use(
        [&](Volume& volume) -> Task<void> {
          EXPECT_TRUE(volume.is_read_only());
          co_await check_content(volume);
          // The discarded blocks are holes.
          const auto extents = co_await volume.extents(811 * kBlockSize, kBlockSize, 1);
          EXPECT_TRUE(extents.ok() && (*extents)[0].kind != ExtentKind::data);
        },
        End::stop);
    EXPECT_EQ(writes_, 0U);
    EXPECT_EQ(content_, before);
    // A rebuild, or a recovery, brings back the same.
    options_.access = VolumeAccess::read_write;
    if (state == VolumeState::read_only_mode) set_state(VolumeState::force_rebuild);
    expect_recovered();
    if (HasFailure()) FAIL() << name_of(state);
  }
}

TEST_F(RecoveryTest, NothingIsWrittenToOpenAVolumeForReading) {
  const auto read_only = [&](VolumeAccess access) {
    const DiskContent before = content_;
    options_.access = access;
    use(
        [&](Volume& volume) -> Task<void> {
          EXPECT_TRUE(volume.is_read_only());
          EXPECT_TRUE(volume.is_opened_for_reading());
          if (access == VolumeAccess::read_only) co_await check_content(volume);
          Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
          EXPECT_FALSE((co_await volume.write(0, std::move(buffer), Durability::fua)).ok());
          EXPECT_FALSE((co_await volume.discard(0, kBlockSize, Durability::cached)).ok());
          EXPECT_FALSE((co_await volume.grow({.logical_bytes = volume.size() + kBlockSize})).ok());
          EXPECT_TRUE((co_await volume.flush()).ok());
          EXPECT_TRUE((co_await volume.suspend(SuspendMode::save)).ok());
          EXPECT_TRUE((co_await volume.resume()).ok());
          co_await volume.count_savings(std::chrono::milliseconds(1));
          EXPECT_EQ(device_->flushes(), 0U);
        },
        End::stop);
    EXPECT_EQ(writes_, 0U);
    EXPECT_EQ(content_, before);
    options_.access = VolumeAccess::read_write;
  };
  read_only(VolumeAccess::read_only);  // never started
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  read_only(VolumeAccess::read_only);
  use([&](Volume& volume) { return busy(volume, 2); }, End::crash);
  read_only(VolumeAccess::read_only);
  read_only(VolumeAccess::read_only_without_journal);
  expect_recovered();
}

// Blocks that were freed and used again are other blocks' contents by the map alone.
TEST_F(RecoveryTest, WithoutItsJournalAVolumeIsAsItsBlockMapSays) {
  use([&](Volume& volume) { return write(volume, 7, 100); }, End::stop);
  use(
      [&](Volume& volume) -> Task<void> {
        co_await write(volume, 7, 200);
        co_await flush(volume);
      },
      End::crash);
  const auto first_word = [&](VolumeAccess access) {
    options_.access = access;
    std::uint64_t found = 0;
    use(
        [&](Volume& volume) -> Task<void> {
          AlignedMemory got(kBlockSize);
          EXPECT_TRUE((co_await volume.read(7 * kBlockSize, got.bytes())).ok());
          found = load_le64(got.data());
        },
        End::stop);
    return found;
  };
  EXPECT_EQ(first_word(VolumeAccess::read_only_without_journal), 100U);
  EXPECT_EQ(first_word(VolumeAccess::read_only), 200U);
}

TEST_F(RecoveryTest, NoVolumeIsWrittenToAtTheEndOfItsSequenceNumbers) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::stop);
  SuperBlock super = super_block();
  super.journal.journal_start = JournalSequence{kMaxSequence - 1};
  encode_super_block(super, block(decode_volume_geometry(content_.at(0))->data_start));
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_TRUE(volume.is_read_only());
        co_await check_content(volume);
        Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
        EXPECT_FALSE((co_await volume.write(0, std::move(buffer), Durability::cached)).ok());
      },
      End::stop);
}

// A block that cannot be, since no volume gets that far, is no end of the journal.
TEST_F(RecoveryTest, AJournalBlockWithAnImpossibleSequenceNumberDoesNotCount) {
  use(
      [&](Volume& volume) -> Task<void> {
        co_await busy(volume, 1);
        co_await flush(volume);
      },
      End::crash);
  const SuperBlock super = super_block();
  const JournalSequence wrong{kMaxSequence - kJournalBlocks +
                              (super.journal.journal_start.value() + kJournalBlocks - 2) %
                                  kJournalBlocks};
  JournalBlockHeader header;
  header.block_map_head = header.slab_journal_head = header.sequence = wrong;
  header.nonce = super.nonce;
  header.recovery_count = super.recovery_count();
  header.check_byte = check_byte_of(wrong, kJournalBlocks);
  const Pbn journal = super.find(PartitionId::recovery_journal).start;
  open_journal_block(block(journal + wrong.value() % kJournalBlocks), header);
  expect_recovered();
}

TEST_F(RecoveryTest, AnErrorWhileSavingIsRecordedBeforeStopReturns) {
  use(
      [&](Volume& volume) -> Task<void> {
        co_await busy(volume, 1);
        co_await flush(volume);
        device_->fail_once();
        auto stopped = co_await volume.stop();
        EXPECT_FALSE(stopped.ok());
        content_ = device_->content();
        EXPECT_EQ(super_block().state, VolumeState::read_only_mode);
      },
      End::leave);
  set_state(VolumeState::force_rebuild);
  expect_recovered();
}

TEST_F(RecoveryTest, AnImpossibleReferenceCountMakesTheVolumeReadOnly) {
  use([&](Volume& volume) { return busy(volume, 1); }, End::crash);
  // Let the journal say that a block loses a reference which it does not have.
  const auto [pbn, header] = last_journal_block();
  JournalEntry entry = journal_entry(block(pbn), header.entry_count - 1U);
  const SlabLayout slabs(super_block().depot);
  entry.old_mapping = mapped_to(slabs.pbn_of(0, 790));
  const unsigned at = header.entry_count - 1U;
  encode_journal_entry(entry, block(pbn).data() + kSectorSize * (1 + at / kEntriesPerSector) +
                                  kJournalSectorHeaderSize +
                                  kJournalEntrySize * (at % kEntriesPerSector));
  use(
      [&](Volume& volume) -> Task<void> {
        EXPECT_TRUE(volume.is_read_only());
        co_return;
      },
      End::stop);
  EXPECT_EQ(super_block().state, VolumeState::read_only_mode);
  set_state(VolumeState::force_rebuild);
  use([&](Volume& volume) { return nothing(volume); }, End::stop);
  expect_consistent();
}

}  // namespace
}  // namespace uvdo
