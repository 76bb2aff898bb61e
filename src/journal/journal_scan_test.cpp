// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/journal_scan.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

constexpr JournalRing kRing{Pbn{8}, 1000};

class JournalScanTest : public ::testing::Test {
 protected:
  JournalScanTest() : device_(std::move(*MemoryDevice::create(2048 * kBlockSize))) {
    super_.nonce = 9;
    super_.state = VolumeState::dirty;
    super_.config.journal_size = kRing.size;
    super_.config.physical_blocks = 1U << 20U;
    for (std::uint64_t place = 0; place < kRing.size; ++place) {
      device_->bytes()[(kRing.start.value() + place) * kBlockSize] =
          static_cast<std::byte>(place % 251);
    }
  }
  /// Block `sequence`, whole, as of a journal in use.
  void put(std::uint64_t sequence) {
    JournalBlockHeader header;
    header.type = kJournalType;
    header.nonce = super_.nonce;
    header.sequence = JournalSequence{sequence};
    header.slab_journal_head = header.block_map_head = JournalSequence{1};
    header.entry_count = kEntriesPerBlock;
    header.check_byte = check_byte_of(JournalSequence{sequence}, kRing.size);
    header.recovery_count = super_.recovery_count();
    open_journal_block(device_->bytes().subspan(
                           (kRing.start.value() + sequence % kRing.size) * kBlockSize, kBlockSize),
                       header);
  }
  template <class Body>
  static void simulate(Body body) {
    SimExecutor executor({.seed = 5});
    const auto outcome = executor.run(body());
    EXPECT_TRUE(outcome.finished) << outcome.why;
  }
  static std::byte mark(std::uint64_t place) { return static_cast<std::byte>(place % 251); }

  std::unique_ptr<MemoryDevice> device_;
  SuperBlock super_;
};

TEST_F(JournalScanTest, BlocksThatWereReadWithOthersAreThereAtOnce) {
  simulate([this]() -> Task<void> {
    JournalReader reader(PbnDevice(*device_, 0), kRing);
    EXPECT_FALSE(reader.block(JournalSequence{0}).await_ready());
    for (std::uint64_t sequence = 0; sequence < 2 * kRing.size; ++sequence) {
      const auto block = co_await reader.block(JournalSequence{sequence});
      EXPECT_TRUE(block.ok());
      if (!block) co_return;
      EXPECT_EQ((*block)[0], mark(sequence % kRing.size));
      EXPECT_TRUE(reader.block(JournalSequence{sequence}).await_ready());
    }
    const auto block = co_await reader.block(JournalSequence{700});
    EXPECT_EQ((*block)[0], mark(700));
    EXPECT_TRUE(reader.block(JournalSequence{955}).await_ready());
    EXPECT_FALSE(reader.block(JournalSequence{956}).await_ready());
    EXPECT_FALSE(reader.block(JournalSequence{699}).await_ready());
  });
}

TEST_F(JournalScanTest, ARingThatCannotBeReadIsAnError) {
  simulate([this]() -> Task<void> {
    JournalReader reader(PbnDevice(*device_, 0), {kRing.start, 4096});
    const auto block = co_await reader.block(JournalSequence{4000});
    EXPECT_FALSE(block.ok());
    EXPECT_FALSE(reader.block(JournalSequence{4000}).await_ready());
  });
}

TEST_F(JournalScanTest, AsksForTheMemoryOfAViewBeforeItIsTaken) {
  for (std::uint64_t sequence = 1; sequence <= 500; ++sequence) put(sequence);
  simulate([this]() -> Task<void> {
    std::uint64_t asked = 0;
    const auto refuse = [&](std::uint64_t bytes) -> Result<void> {
      asked = bytes;
      return Error(Errc::no_memory, "none");
    };
    const auto view = co_await view_journal(PbnDevice(*device_, 0), kRing, super_, refuse);
    EXPECT_EQ(asked, 2 * 500 * kEntriesPerBlock * sizeof(PageChange));
    EXPECT_TRUE(!view && view.error().code() == Errc::no_memory);
  });
}

}  // namespace
}  // namespace uvdo
