// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/placement.h"

#include "volume/testing/writing_fixture.h"

namespace uvdo {
namespace {

class PlacementTest : public testing::WritingFixture {
 protected:
  /// Once the leaf is there, so that only blocks of data are counted.
  Task<void> begin() {
    [[maybe_unused]] const LeafPin leaf = co_await leaf_of(Lbn{1});
    all_free = depot.free_blocks();
  }
  /// Blocks that somebody has, or has been promised.
  [[nodiscard]] std::uint64_t used() const { return all_free - depot.free_blocks(); }
  /// Whether the device has noise `number` where the map says that a block is.
  Task<bool> holds(Lbn lbn, std::uint64_t number) {
    const BlockMapping mapping = co_await mapping_of(lbn);
    AlignedMemory found(kBlockSize);
    EXPECT_TRUE((co_await device.read(byte_of(mapping.pbn), found.bytes())).ok());
    co_return mapping.is_mapped() &&
        testing::are_equal(found.bytes(), testing::noise(number).bytes());
  }
  static Task<void> keep(Task<Result<void>> work, std::optional<Result<void>>& result) {
    result.emplace(co_await std::move(work));
  }
  std::uint64_t all_free = 0;
};

TEST_F(PlacementTest, ZerosAreMappedAndTakeNoBlock) {
  run([this]() -> Task<void> {
    co_await begin();
    WriteJob& job = *co_await accept(New{Lbn{1}, 0});
    EXPECT_TRUE((co_await store(job)).ok());
    EXPECT_EQ(co_await mapping_of(Lbn{1}), kMappedZero);
    EXPECT_EQ(used(), 0U) << "the promise was given back";
    EXPECT_EQ(data_writer.blocks_written(), 0U);
  });
}

TEST_F(PlacementTest, NewDataGetNeighboursAndGoToTheDeviceAtOnce) {
  run([this]() -> Task<void> {
    co_await begin();
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{9}, 2}, New{Lbn{20}, 3});
    EXPECT_TRUE((co_await store(job)).ok());
    const Pbn first = (co_await mapping_of(Lbn{1})).pbn;
    EXPECT_EQ(co_await mapping_of(Lbn{9}), mapped_to(first + 1));
    EXPECT_EQ(co_await mapping_of(Lbn{20}), mapped_to(first + 2));
    EXPECT_EQ(data_writer.requests(), 1U);
    EXPECT_TRUE(co_await holds(Lbn{9}, 2));
    EXPECT_EQ(used(), 3U);
  });
}

TEST_F(PlacementTest, EqualDataShareABlockAlsoWithThoseThatTheIndexRemembers) {
  run([this]() -> Task<void> {
    co_await begin();
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 1});
    EXPECT_TRUE((co_await store(job)).ok());
    const BlockMapping where = co_await mapping_of(Lbn{1});
    EXPECT_EQ(co_await mapping_of(Lbn{2}), where);
    WriteJob& later = *co_await accept(New{Lbn{3}, 1});
    EXPECT_TRUE((co_await store(later)).ok());
    EXPECT_EQ(co_await mapping_of(Lbn{3}), where);
    EXPECT_EQ(references(where.pbn), 3U);
    EXPECT_EQ(used(), 1U);
  });
}

TEST_F(PlacementTest, TheMapSaysNothingOfDataThatAreNotOnTheDevice) {
  run([this]() -> Task<void> {
    co_await begin();
    WriteJob& job = *co_await accept(New{Lbn{1}, 1});
    device.add_fault(testing::hanging(Device::Op::write));
    TaskGroup tasks(executor);
    std::optional<Result<void>> stored;
    tasks.start(keep(store(job), stored));
    co_await settle();
    EXPECT_EQ(device.in_flight(), 1U);
    EXPECT_FALSE(stored);
    EXPECT_EQ(co_await mapping_of(Lbn{1}), kUnmapped);
    device.clear_faults();
    device.release_hung(0);
    co_await tasks.wait();
    EXPECT_TRUE(stored->ok());
    EXPECT_TRUE(co_await holds(Lbn{1}, 1));
  });
}

TEST_F(PlacementTest, OfAWriteThatFailsNothingIsLeft) {
  run([this]() -> Task<void> {
    co_await begin();
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 1}, New{Lbn{3}, 3});
    device.add_fault(testing::failing(Device::Op::write));
    EXPECT_EQ((co_await store(job)).error().code(), Errc::io);
    device.clear_faults();
    EXPECT_EQ(co_await mapping_of(Lbn{1}), kUnmapped);
    EXPECT_EQ(co_await mapping_of(Lbn{2}), kUnmapped) << "who follows such an agent fails too";
    EXPECT_EQ(used(), 0U);
    EXPECT_EQ(index->statistics().entries_indexed, 0U) << "the index was told of nothing";
    WriteJob& again = *co_await accept(New{Lbn{1}, 1});
    EXPECT_TRUE((co_await store(again)).ok()) << "nobody waits for a name for ever";
    EXPECT_TRUE(co_await holds(Lbn{1}, 1));
  });
}

TEST_F(PlacementTest, InAFullVolumeOnlyWhatNeedsABlockFails) {
  run([this]() -> Task<void> {
    const Pbn pbn = co_await put(Lbn{9}, 1);
    co_await begin();
    fill_up();
    WriteJob& job = *co_await accept(New{Lbn{1}, 0}, New{Lbn{2}, 2});
    EXPECT_FALSE(job.has_promise);
    EXPECT_EQ((co_await store(job)).error().code(), Errc::no_space);
    EXPECT_EQ(co_await mapping_of(Lbn{1}), kMappedZero);
    EXPECT_EQ(co_await mapping_of(Lbn{2}), kUnmapped);
    EXPECT_EQ(references(pbn), 1U);
  });
}

TEST_F(PlacementTest, WhoWaitsForAFreeBlockKeepsNoneFromBecomingFree) {
  run([this]() -> Task<void> {
    const Pbn pbn = co_await put(Lbn{9}, 1);
    co_await begin();
    // Somebody else has been promised the last block, and may not need it.
    EXPECT_TRUE(depot.reserve(1));
    fill_up();
    WriteJob& job = *co_await accept(New{Lbn{1}, 2});
    EXPECT_FALSE(job.has_promise);
    TaskGroup tasks(executor);
    std::optional<Result<void>> stored;
    tasks.start(keep(store(job), stored));
    co_await settle();
    EXPECT_FALSE(stored);
    // Readers who are there now see the block that leaves; the job must not be one of them.
    co_await map_to(Lbn{9}, kUnmapped);
    EXPECT_TRUE(depot.allocate(1, true).has_value());
    co_await tasks.wait();
    EXPECT_TRUE(stored->ok());
    EXPECT_EQ(co_await mapping_of(Lbn{1}), mapped_to(pbn));
    EXPECT_TRUE(co_await holds(Lbn{1}, 2));
  });
}

TEST_F(PlacementTest, WhereABlockHasNoReferenceLeftAnotherCopyIsMade) {
  run([this]() -> Task<void> {
    co_await begin();
    WriteJob& job = *co_await accept(New{Lbn{1}, 1});
    EXPECT_TRUE((co_await store(job)).ok());
    const Pbn pbn = (co_await mapping_of(Lbn{1})).pbn;
    for (Lbn lbn{100}; references(pbn) < 253; ++lbn) co_await map_to(lbn, mapped_to(pbn));
    WriteJob& more = *co_await accept(New{Lbn{2}, 1}, New{Lbn{3}, 1}, New{Lbn{4}, 1});
    EXPECT_TRUE((co_await store(more)).ok());
    EXPECT_EQ(co_await mapping_of(Lbn{2}), mapped_to(pbn));
    const BlockMapping copy = co_await mapping_of(Lbn{3});
    EXPECT_NE(copy.pbn, pbn);
    EXPECT_EQ(co_await mapping_of(Lbn{4}), copy);
    EXPECT_EQ(references(pbn), 254U);
    EXPECT_TRUE(co_await holds(Lbn{3}, 1));
  });
}

}  // namespace
}  // namespace uvdo
