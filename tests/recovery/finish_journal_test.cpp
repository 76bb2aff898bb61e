// SPDX-License-Identifier: GPL-2.0-or-later
#include "recovery/finish_journal.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "format/volume_layout.h"
#include "journal/journal_scan.h"
#include "journal/recovery_journal.h"

namespace uvdo {
namespace {

class FinishJournal : public ::testing::Test {
 protected:
  FinishJournal() {
    FormatRequest request;
    request.device_bytes = kDeviceBytes;
    request.slab_bits = 13;
    request.logical_bytes = 64ULL << 20U;
    request.nonce = 7;
    layout = *make_volume_layout(request);
    super_block = layout.super_block;
    super_block.state = VolumeState::dirty;
    device = std::move(*MemoryDevice::create(kDeviceBytes));
    journal = std::make_unique<RecoveryJournal>(
        executor, blocks(), notifier, journal_config(super_block), FaultPoints(), memory.bytes());
  }
  [[nodiscard]] PbnDevice blocks() { return {*device, layout.geometry.bio_offset}; }
  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run(body());
    EXPECT_TRUE(outcome.finished) << outcome.why;
  }
  void add(unsigned count) {
    const Pbn first = super_block.depot.first_block;
    for (unsigned i = 0; i < count; ++i) {
      journal->add({JournalOperation::data_remapping, first + 1,
                    static_cast<std::uint16_t>(i % 812), mapped_to(first + 2 + i % 100),
                    kUnmapped});
    }
  }
  Task<Result<void>> finish() {
    auto kept = KeptJournal::read(memory.bytes());
    EXPECT_TRUE(kept.ok());
    co_return co_await finish_journal(executor, blocks(), super_block, *kept);
  }
  Task<std::uint64_t> usable_entries() {
    auto usable = co_await find_usable_journal(blocks(), journal_ring(super_block), super_block);
    EXPECT_TRUE(usable.ok());
    EXPECT_FALSE(usable->is_damaged());
    co_return usable->entries;
  }
  MutableBytes ring() {
    const JournalRing at = journal_ring(super_block);
    return device->bytes().subspan(device_byte(at.start, layout.geometry.bio_offset),
                                   8 * kBlockSize);
  }

  static constexpr std::uint64_t kDeviceBytes = 3ULL << 30U;
  SimExecutor executor{{.seed = 1}};
  VolumeLayout layout;
  SuperBlock super_block;
  std::unique_ptr<MemoryDevice> device;
  AlignedMemory memory{JournalMemory::kBytes};
  ReadOnlyNotifier notifier;
  std::unique_ptr<RecoveryJournal> journal;
};

TEST_F(FinishJournal, BringsAllEntriesToTheDiskAndDoesSoAgain) {
  run([this]() -> Task<void> {
    add(300);
    EXPECT_TRUE((co_await journal->commit_all()).ok());
    add(500);
    EXPECT_EQ(co_await usable_entries(), 300U);
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE((co_await finish()).ok());
      EXPECT_EQ(co_await usable_entries(), 800U);
    }
  });
}

TEST_F(FinishJournal, OfAJournalThatWasNeverWrittenBeginsAtItsStart) {
  run([this]() -> Task<void> {
    add(3);
    EXPECT_TRUE((co_await finish()).ok());
    EXPECT_EQ(co_await usable_entries(), 3U);
  });
}

TEST_F(FinishJournal, RefusesAnOlderCopyOfTheVolume) {
  run([this]() -> Task<void> {
    const std::vector<std::byte> before(ring().begin(), ring().end());
    add(300);
    EXPECT_TRUE((co_await journal->commit_all()).ok());
    add(1);
    std::ranges::copy(before, ring().begin());
    const auto done = co_await finish();
    EXPECT_FALSE(done.ok());
    EXPECT_EQ(done.error().code(), Errc::corrupt);
    EXPECT_TRUE(std::ranges::equal(before, ring())) << "nothing is written";
  });
}

TEST_F(FinishJournal, RefusesEntriesThatMakeNoSense) {
  run([this]() -> Task<void> {
    journal->add(
        {JournalOperation::data_remapping, Pbn{1}, 5, mapped_to(Pbn{1ULL << 35U}), kUnmapped});
    const auto done = co_await finish();
    EXPECT_FALSE(done.ok());
    EXPECT_EQ(done.error().code(), Errc::corrupt);
  });
}

}  // namespace
}  // namespace uvdo
