// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/recovery_journal.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocks = 64;

struct Bench {
  explicit Bench(SimExecutor& executor)
      : device(std::move(*MemoryDevice::create(kBlocks * kBlockSize))) {
    config.size = kBlocks;
    config.nonce = 9;
    config.recovery_count = 3;
    journal = std::make_unique<RecoveryJournal>(executor, PbnDevice(*device, 0), notifier, config);
  }
  JournalPoint add() {
    return journal->add(
        {JournalOperation::data_remapping, Pbn{1}, 2, mapped_to(Pbn{5}), kUnmapped});
  }
  [[nodiscard]] ConstBytes block(std::uint64_t sequence) const {
    return device->bytes().subspan(sequence % kBlocks * kBlockSize, kBlockSize);
  }
  std::unique_ptr<MemoryDevice> device;
  ReadOnlyNotifier notifier;
  RecoveryJournalConfig config;
  std::unique_ptr<RecoveryJournal> journal;
};

template <class Body>
void simulate(Body body) {
  SimExecutor executor({.seed = 12});
  const auto outcome = executor.run(body(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

/// Blocks that gather entries, and those on their way to the device.
std::pair<std::uint64_t, std::uint64_t> blocks_under_way(const RecoveryJournal& journal) {
  const RecoveryJournalStatistics& counters = journal.counters();
  EXPECT_GE(journal.blocks_started(), counters.blocks.written);
  EXPECT_GE(counters.blocks.written, counters.blocks.committed);
  EXPECT_GE(counters.entries.started, counters.entries.written);
  EXPECT_GE(counters.entries.written, counters.entries.committed);
  return {journal.blocks_started() - counters.blocks.written,
          counters.blocks.written - counters.blocks.committed};
}

TEST(RecoveryJournal, NoBlockSaysOfItselfThatNobodyNeedsIt) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    RecoveryJournal& journal = *bench.journal;
    JournalPoint last;
    for (unsigned i = 0; i < kEntriesPerBlock; ++i) last = bench.add();
    EXPECT_TRUE((co_await journal.commit_all()).ok());
    // It is full, stable and not needed; with the next one it is written again.
    bench.add();
    EXPECT_TRUE((co_await journal.commit_all()).ok());
    const JournalSequence full{last.sequence};
    const JournalBlockHeader header = decode_journal_header(bench.block(full.value()));
    EXPECT_EQ(header.sequence, full);
    EXPECT_LE(header.block_map_head, full);
    EXPECT_LE(header.slab_journal_head, full);
  });
}

TEST(RecoveryJournal, UsesNoBlockWhenAFullOneIsStableAndGivenUp) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    RecoveryJournal& journal = *bench.journal;
    journal.check_invariants();
    for (unsigned i = 0; i < kEntriesPerBlock; ++i) bench.add();
    EXPECT_TRUE((co_await journal.commit_all()).ok());
    EXPECT_TRUE((co_await journal.reap()).ok());
    EXPECT_EQ(journal.blocks_in_use(), 0U);
    EXPECT_TRUE(journal.has_room());
    journal.check_invariants();
    bench.add();
    EXPECT_EQ(journal.blocks_in_use(), 0U);
    journal.check_invariants();
  });
}

TEST(RecoveryJournal, BlocksAreStartedBeforeTheyAreWrittenHoweverOftenThatIs) {
  using Blocks = std::pair<std::uint64_t, std::uint64_t>;
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    RecoveryJournal& journal = *bench.journal;
    EXPECT_EQ(blocks_under_way(journal), Blocks(0, 0));
    // One block is written again and again while it fills. When it is full and was written as such
    // it is handed over once more with the next one. Then two at once.
    struct Step {
      int entries;
      std::uint64_t batching;
    };
    for (const Step& step : {Step{1, 1}, Step{5, 1}, Step{211, 1}, Step{1, 2}, Step{433, 2}}) {
      for (int i = 0; i < step.entries; ++i) bench.add();
      EXPECT_EQ(blocks_under_way(journal).first, step.batching) << step.entries << " more";
      auto done = co_await journal.commit(journal.last_point());
      EXPECT_TRUE(done.ok());
      EXPECT_EQ(blocks_under_way(journal), Blocks(0, 0));
    }
    EXPECT_EQ(journal.counters().blocks.written, 7U);
    EXPECT_EQ(journal.blocks_started(), 7U);
  });
}

TEST(RecoveryJournal, ACommittedEntryIsOnDiskInItsPlace) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    for (int i = 0; i < 218; ++i) bench.add();
    const JournalPoint last = bench.journal->last_point();
    EXPECT_EQ(last, (JournalPoint{2, 0}));
    EXPECT_FALSE(bench.journal->is_committed(last));
    auto done = co_await bench.journal->commit(last);
    EXPECT_TRUE(done.ok());
    EXPECT_TRUE(bench.journal->is_committed(last));
    const auto header = decode_journal_header(bench.block(1));
    EXPECT_TRUE(counts(header, 9, 3, kBlocks, 1));
    EXPECT_EQ(header.entry_count, 217U);
    EXPECT_EQ(decode_journal_header(bench.block(2)).entry_count, 1U);
    EXPECT_EQ(decode_journal_header(bench.block(2)).logical_blocks_used, 217U);
    EXPECT_EQ(journal_entry(bench.block(2), 0).new_mapping, mapped_to(Pbn{5}));
  });
}

TEST(RecoveryJournal, TheRingIsNotReusedWhileABlockIsHeld) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    bench.add();
    bench.journal->lock(RecoveryJournal::Head::block_map, JournalSequence{1});
    while (bench.journal->has_room()) {
      bench.add();
      if (bench.journal->unwritten_blocks() > 8) {
        auto done = co_await bench.journal->commit_all();
        EXPECT_TRUE(done.ok());
      }
    }
    EXPECT_EQ(bench.journal->durable_head(), JournalSequence{1});
    bench.journal->unlock(RecoveryJournal::Head::block_map, JournalSequence{1});
    EXPECT_FALSE(bench.journal->has_room());  // not before a flush
    auto reaped = co_await bench.journal->commit_all();
    if (reaped) reaped = co_await bench.journal->reap();
    EXPECT_TRUE(reaped.ok());
    EXPECT_TRUE(bench.journal->has_room());
    bench.add();
    auto done = co_await bench.journal->commit_all();
    EXPECT_TRUE(done.ok());
    const auto header = decode_journal_header(bench.block(bench.journal->tail().value()));
    EXPECT_GT(header.block_map_head, JournalSequence{1});
  });
}

TEST(RecoveryJournal, AFailedWriteMakesTheVolumeReadOnly) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    // A ring that lies beyond the end of the device.
    bench.config.start = Pbn{kBlocks};
    RecoveryJournal journal(ex, PbnDevice(*bench.device, 0), bench.notifier, bench.config);
    journal.add({JournalOperation::data_remapping, Pbn{1}, 2, mapped_to(Pbn{5}), kUnmapped});
    const auto done = co_await journal.commit_all();
    EXPECT_FALSE(done.ok());
    EXPECT_TRUE(bench.notifier.is_read_only());
    const auto again = co_await journal.commit_all();
    EXPECT_FALSE(again.ok());
  });
}

TEST(RecoveryJournal, AClosedBlockIsNotContinued) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    bench.add();
    auto done = co_await bench.journal->commit_all();
    EXPECT_TRUE(done.ok());
    EXPECT_EQ(bench.journal->close_block(), JournalSequence{2});
    EXPECT_EQ(bench.add(), (JournalPoint{2, 0}));
    done = co_await bench.journal->commit_all();
    EXPECT_TRUE(done.ok());
  });
}

}  // namespace
}  // namespace uvdo
