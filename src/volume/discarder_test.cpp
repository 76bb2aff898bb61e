// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/discarder.h"

#include "volume/testing/writing_fixture.h"

namespace uvdo {
namespace {

using testing::are_equal;
using testing::noise;

/// A discarder writes parts of blocks, and so has the whole way of a write beneath it.
class DiscarderTest : public testing::WritingFixture {
 protected:
  Task<Result<void>> discard(Lbn first, std::uint64_t count) {
    return discarder.discard(first.value() * kBlockSize, count * kBlockSize, Durability::cached);
  }
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode) {
    return discarder.write_zeroes(offset, length, mode, Durability::cached);
  }
  /// What a client reads of a block.
  Task<AlignedMemory> content_of(Lbn lbn) {
    AlignedMemory found(kBlockSize);
    EXPECT_TRUE((co_await reads.read(lbn.value() * kBlockSize, found.bytes())).ok());
    co_return found;
  }
  static Task<void> keep(Task<Result<void>> work, std::optional<Result<void>>& result) {
    result.emplace(co_await std::move(work));
  }

  static constexpr Lbn kLbn{7};
  static constexpr std::uint64_t kPart = 512;
  Discarder discarder{executor, entrance,    admission, *ledger, in_flight,
                      writes,   maintenance, buffers,   options, counters.requests};
};

TEST_F(DiscarderTest, WhereThereAreNoPagesOfTheMapNoneAreMadeAndNoBlockIsTaken) {
  run([this]() -> Task<void> {
    const std::uint64_t before = depot.free_blocks();
    EXPECT_TRUE((co_await discard(Lbn{0}, kLogicalBytes / kBlockSize)).ok());
    const std::uint64_t offset = kLbn.value() * kBlockSize + kPart;
    EXPECT_TRUE((co_await discarder.discard(offset, kPart, Durability::cached)).ok());
    EXPECT_TRUE((co_await write_zeroes(offset, kPart, ZeroMode::punch)).ok());
    EXPECT_EQ(depot.free_blocks(), before);
    EXPECT_EQ(ledger->journal().block_map_blocks(), 0U);
  });
}

TEST_F(DiscarderTest, ABlockThatTwoAddressesShareKeepsItsData) {
  run([this]() -> Task<void> {
    const Pbn pbn = co_await put(kLbn, 1);
    co_await map_to(kLbn + 1, mapped_to(pbn));
    EXPECT_TRUE((co_await discard(kLbn, 1)).ok());
    EXPECT_EQ(co_await mapping_of(kLbn), kUnmapped);
    EXPECT_EQ(references(pbn), 1U);
    EXPECT_FALSE(depot.has_pending_frees());
    EXPECT_TRUE(are_equal((co_await content_of(kLbn + 1)).bytes(), noise(1).bytes()));
  });
}

TEST_F(DiscarderTest, WhatItFreesIsFreeWhenTheEntryThatSaysSoIsStable) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    co_await put(kLbn + 1, 2);
    const std::uint64_t before = depot.free_blocks();
    EXPECT_TRUE((co_await discard(kLbn, 2)).ok());
    EXPECT_EQ(depot.free_blocks(), before);
    EXPECT_EQ(depot.pending_free_count(), 2U);
    co_await depot.wait_for_frees();
    EXPECT_TRUE(ledger->journal().is_committed(ledger->journal().last_point()));
    EXPECT_EQ(depot.free_blocks(), before + 2);
  });
}

TEST_F(DiscarderTest, APartOfABlockWithDataBecomesZeros) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    const std::uint64_t offset = kLbn.value() * kBlockSize + kPart;
    EXPECT_TRUE((co_await discarder.discard(offset, kPart, Durability::cached)).ok());
    const AlignedMemory expected = noise(1);
    std::memset(expected.data() + kPart, 0, kPart);
    EXPECT_TRUE(are_equal((co_await content_of(kLbn)).bytes(), expected.bytes()));
  });
}

TEST_F(DiscarderTest, InAFullVolumeOnlyADiscardMayLeaveAPartAsItIs) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    fill_up();
    const std::uint64_t offset = kLbn.value() * kBlockSize + kPart;
    EXPECT_TRUE((co_await discarder.discard(offset, kPart, Durability::cached)).ok());
    auto zeroed = co_await write_zeroes(offset, kPart, ZeroMode::punch);
    EXPECT_EQ(zeroed.error().code(), Errc::no_space);
    EXPECT_TRUE(are_equal((co_await content_of(kLbn)).bytes(), noise(1).bytes()));
    // Whole blocks need none, and give some back to the part behind them.
    co_await map_to(kLbn + 1, (co_await mapping_of(kLbn)));
    zeroed = co_await write_zeroes(kLbn.value() * kBlockSize, kBlockSize, ZeroMode::punch);
    EXPECT_TRUE(zeroed.ok());
  });
}

TEST_F(DiscarderTest, ZerosThatAreToStayWrittenAreMappedAndTakeLeavesOnly) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    EXPECT_TRUE(
        (co_await write_zeroes(0, 2 * kEntriesPerPage * kBlockSize, ZeroMode::mapped)).ok());
    EXPECT_EQ(co_await mapping_of(kLbn), kMappedZero);
    EXPECT_EQ(co_await mapping_of(Lbn{2 * kEntriesPerPage - 1}), kMappedZero);
    EXPECT_EQ(co_await mapping_of(Lbn{2 * kEntriesPerPage}), kUnmapped);
    EXPECT_EQ(ledger->journal().logical_blocks_used(), 2 * kEntriesPerPage);
  });
}

TEST_F(DiscarderTest, AWriterThatHoldsABlockEndsFirst) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    co_await in_flight.locks().lock(kLbn);
    TaskGroup tasks(executor);
    std::optional<Result<void>> discarded;
    tasks.start(keep(discard(kLbn - 1, 3), discarded));
    co_await settle();
    EXPECT_FALSE(discarded);
    EXPECT_NE(co_await mapping_of(kLbn), kUnmapped);
    in_flight.locks().unlock(kLbn);
    co_await tasks.wait();
    EXPECT_TRUE(discarded->ok());
    EXPECT_EQ(co_await mapping_of(kLbn), kUnmapped);
  });
}

TEST_F(DiscarderTest, WithFuaTheEntriesAreStableAlsoWhereNothingHadToChange) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    EXPECT_TRUE((co_await discard(kLbn, 1)).ok());
    EXPECT_FALSE(ledger->journal().is_committed(ledger->journal().last_point()));
    const std::uint64_t offset = kLbn.value() * kBlockSize;
    EXPECT_TRUE((co_await discarder.discard(offset, kBlockSize, Durability::fua)).ok());
    EXPECT_TRUE(ledger->journal().is_committed(ledger->journal().last_point()));

    co_await put(kLbn, 1);
    device.add_fault(testing::failing(Device::Op::flush));
    EXPECT_FALSE((co_await discarder.discard(offset, kBlockSize, Durability::fua)).ok());
    EXPECT_TRUE(notifier.is_read_only());
    EXPECT_EQ((co_await discard(kLbn, 1)).error().code(), Errc::io);
  });
}

}  // namespace
}  // namespace uvdo
