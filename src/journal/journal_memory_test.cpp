// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/journal_memory.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "journal/recovery_journal.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kRingBlocks = 64;

struct KeptBench {
  explicit KeptBench(SimExecutor& executor)
      : device(std::move(*MemoryDevice::create(kRingBlocks * kBlockSize))),
        memory(JournalMemory::kBytes) {
    RecoveryJournalConfig config;
    config.size = kRingBlocks;
    config.nonce = 9;
    config.tail = JournalSequence{5};
    journal = std::make_unique<RecoveryJournal>(executor, PbnDevice(*device, 0), notifier, config,
                                                FaultPoints(), memory.bytes());
  }
  void add(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      journal->add({JournalOperation::data_remapping, Pbn{1}, static_cast<std::uint16_t>(i % 812),
                    mapped_to(Pbn{5 + i}), kUnmapped});
    }
  }
  [[nodiscard]] KeptJournal kept() const {
    auto read = KeptJournal::read(memory.bytes());
    EXPECT_TRUE(read.ok()) << (read ? "" : read.error().message());
    return read ? std::move(*read) : KeptJournal();
  }
  [[nodiscard]] std::string refusal() const {
    const auto read = KeptJournal::read(memory.bytes());
    return read ? "" : read.error().message();
  }
  std::unique_ptr<MemoryDevice> device;
  AlignedMemory memory;
  ReadOnlyNotifier notifier;
  std::unique_ptr<RecoveryJournal> journal;
};

template <class Body>
void simulate_kept(Body body) {
  SimExecutor executor({.seed = 12});
  const auto outcome = executor.run(body(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(JournalMemory, HasTheEntriesThatAreNotOnDisk) {
  simulate_kept([](SimExecutor& ex) -> Task<void> {
    KeptBench bench(ex);
    EXPECT_EQ(bench.kept().entries_behind_written(), 0U);
    bench.add(kEntriesPerBlock + 3);
    KeptJournal kept = bench.kept();
    EXPECT_EQ(kept.blocks.size(), 2U);
    EXPECT_EQ(kept.blocks[0].sequence, JournalSequence{5});
    EXPECT_EQ(kept.blocks[1].entries.size(), 3U);
    EXPECT_EQ(kept.blocks[1].entries[2].new_mapping, mapped_to(Pbn{5 + kEntriesPerBlock + 2}));
    EXPECT_EQ(kept.blocks[1].logical_blocks_used, kEntriesPerBlock);
    EXPECT_EQ(kept.entries_behind_written(), kEntriesPerBlock + 3);
    EXPECT_TRUE((co_await bench.journal->commit_all()).ok());
    kept = bench.kept();
    EXPECT_EQ(kept.blocks.size(), 1U) << "the one that more entries go to";
    EXPECT_EQ(kept.entries_behind_written(), 0U);
    bench.add(1);
    EXPECT_EQ(bench.kept().entries_behind_written(), 1U);
  });
}

TEST(JournalMemory, OfAJournalThatWasClosedHasNothing) {
  simulate_kept([](SimExecutor& ex) -> Task<void> {
    KeptBench bench(ex);
    bench.add(4);
    EXPECT_TRUE((co_await bench.journal->commit_all()).ok());
    EXPECT_EQ(bench.journal->close_block(), JournalSequence{6});
    EXPECT_TRUE(bench.kept().blocks.empty());
  });
}

TEST(JournalMemory, ThatNoJournalLeavesIsRefused) {
  simulate_kept([](SimExecutor& ex) -> Task<void> {
    KeptBench bench(ex);
    bench.add(kEntriesPerBlock * 2 + 1);
    SharedWords words(bench.memory.bytes().first(JournalMemory::kTableBytes));
    const std::uint64_t second = words.get(5);
    words.set(5, 0);
    EXPECT_NE(bench.refusal().find("has a gap"), std::string::npos) << bench.refusal();
    words.set(5, second - 1);
    EXPECT_NE(bench.refusal().find("is not full"), std::string::npos) << bench.refusal();
    words.set(5, second | 0xFFFFU);
    EXPECT_NE(bench.refusal().find("too many entries"), std::string::npos) << bench.refusal();
    words.set(5, second);
    bench.memory.bytes()[JournalMemory::kTableBytes + 16] ^= std::byte{1};
    EXPECT_NE(bench.refusal().find("another's place"), std::string::npos) << bench.refusal();
    EXPECT_FALSE(KeptJournal::read(bench.memory.bytes().first(kBlockSize)).ok());
    co_return;
  });
}

}  // namespace
}  // namespace uvdo
