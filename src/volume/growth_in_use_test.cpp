// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/growth_in_use.h"

#include "volume/testing/changing_fixture.h"

namespace uvdo {
namespace {

class GrowthTest : public testing::ChangingFixture {
 protected:
  [[nodiscard]] const VolumeConfig& config() const { return super_blocks.current().config; }
  [[nodiscard]] SuperBlock largest() const {
    return *grown_layout(layout->geometry, super_blocks.current(), kDeviceBytes / kBlockSize);
  }
  /// Bytes of the device where a part of the larger volume will be.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> place_of(PartitionId id) const {
    const Partition partition = largest().find(id);
    return {byte_of(partition.start), byte_of(partition.end())};
  }
  /// It is as it was, and can be used.
  Task<void> expect_old_volume() {
    EXPECT_EQ(config(), layout->super_block.config);
    EXPECT_EQ(on_disk().config, layout->super_block.config);
    EXPECT_EQ(depot.slab_count(), layout->super_block.depot.slab_count());
    EXPECT_EQ(ledger->journal().start(), ring_before);
    EXPECT_TRUE((co_await write(Lbn{1}, 9)).ok());
    EXPECT_TRUE((co_await writes.flush()).ok());
  }

  const Pbn ring_before = layout->super_block.find(PartitionId::recovery_journal).start;
  Growth growth{lent,         gates,     layout->geometry, life,       notifier,
                entrance,     admission, administration,   suspension, *ledger,
                super_blocks, options,   log_to()};
};

TEST_F(GrowthTest, ALogicalSizeIsStableWhenItIsTold) {
  run([this]() -> Task<void> {
    EXPECT_FALSE(entrance.check_range(kLogicalBytes, kBlockSize).ok());
    EXPECT_TRUE((co_await growth.grow({.logical_bytes = 2 * kLogicalBytes})).ok());
    EXPECT_EQ(on_disk().config.logical_blocks, 2 * kLogicalBytes / kBlockSize);
    const Lbn last{2 * kLogicalBytes / kBlockSize - 1};
    EXPECT_TRUE((co_await write(last, 1)).ok());
    EXPECT_TRUE(co_await reads_as(last, 1));
  });
}

TEST_F(GrowthTest, TheJournalMovesWithAllThatItHoldsAndThereAreMoreSlabs) {
  run([this]() -> Task<void> {
    EXPECT_TRUE((co_await write(Lbn{1}, 1)).ok());
    EXPECT_TRUE((co_await writes.flush()).ok());
    const std::uint64_t free_before = depot.free_blocks();
    AlignedMemory old_ring(4 * kBlockSize);
    AlignedMemory new_ring(4 * kBlockSize);
    EXPECT_TRUE((co_await device.read(byte_of(ring_before), old_ring.bytes())).ok());
    EXPECT_TRUE((co_await growth.grow({.physical_max = true})).ok());
    EXPECT_EQ(on_disk(), super_blocks.current());
    const Pbn ring = super_blocks.current().find(PartitionId::recovery_journal).start;
    EXPECT_GT(ring, ring_before);
    EXPECT_EQ(ledger->journal().start(), ring);
    EXPECT_TRUE((co_await device.read(byte_of(ring), new_ring.bytes())).ok());
    EXPECT_TRUE(testing::are_equal(old_ring.bytes(), new_ring.bytes()));
    EXPECT_GT(depot.free_blocks(), free_before);
    EXPECT_TRUE(co_await reads_as(Lbn{1}, 1));
  });
}

TEST_F(GrowthTest, WhileTheRingIsCopiedNothingIsWrittenToIt) {
  run([this]() -> Task<void> {
    const auto [begin, end] = place_of(PartitionId::recovery_journal);
    SimFault fault = testing::hanging(Device::Op::write, begin, end);
    fault.count = 1;
    device.add_fault(fault);
    std::optional<Result<void>> grown;
    std::optional<Result<void>> flushed;
    TaskGroup tasks(executor);
    tasks.start(keep(growth.grow({.physical_max = true}), grown));
    EXPECT_TRUE((co_await write(Lbn{1}, 1)).ok()) << "writers go on";
    tasks.start(keep(writes.flush(), flushed));
    co_await settle();
    EXPECT_FALSE(flushed);
    EXPECT_EQ(ledger->journal().counters().blocks.written, 0U);
    device.release_hung(0);
    co_await tasks.wait();
    EXPECT_TRUE(grown->ok());
    EXPECT_TRUE(flushed->ok());
    EXPECT_EQ(byte_of(ledger->journal().start()), begin);
    EXPECT_EQ(ledger->journal().counters().blocks.committed, 1U) << "at its new place";
  });
}

TEST_F(GrowthTest, AFailureBeforeTheSuperBlockLeavesTheOldVolumeWhole) {
  run([this]() -> Task<void> {
    for (const PartitionId id : {PartitionId::recovery_journal, PartitionId::slab_summary}) {
      const auto [begin, end] = place_of(id);
      device.add_fault(testing::failing(Device::Op::write, begin, end));
      expect_error(co_await growth.grow({.physical_max = true}), Errc::io,
                   "the volume keeps its size");
      device.clear_faults();
      EXPECT_FALSE(notifier.is_read_only());
      co_await expect_old_volume();
    }
    EXPECT_TRUE((co_await growth.grow({.physical_max = true})).ok());
  });
}

TEST_F(GrowthTest, ASuperBlockWhoseFateIsUnknownMakesTheVolumeReadOnly) {
  run([this]() -> Task<void> {
    const std::uint64_t at = byte_of(layout->geometry.data_start);
    device.add_fault(testing::failing(Device::Op::write, at, at + kBlockSize));
    EXPECT_FALSE((co_await growth.grow({.physical_max = true})).ok());
    EXPECT_TRUE(notifier.is_read_only());
    EXPECT_EQ(config(), layout->super_block.config);
    device.clear_faults();
    expect_error(co_await growth.grow({.physical_max = true}), Errc::read_only, "read-only mode");
  });
}

TEST_F(GrowthTest, WhatCannotBeIsToldBeforeAnythingIsWritten) {
  run([this]() -> Task<void> {
    const std::uint64_t before = requests_of(Device::Op::write);
    expect_error(co_await growth.grow({.logical_bytes = kLogicalBytes / 2}), Errc::invalid_argument,
                 "cannot shrink");
    expect_error(co_await growth.grow({.physical_bytes = 2 * kDeviceBytes}), Errc::no_space,
                 "make it larger first");
    options.memory_within_reach = [] { return MachineMemory{1U << 20U, "the limit"}; };
    expect_error(co_await growth.grow({.physical_max = true}), Errc::no_memory,
                 "the volume keeps its size");
    options.memory_within_reach = nullptr;
    EXPECT_EQ(requests_of(Device::Op::write), before);
    co_await expect_old_volume();
  });
}

TEST_F(GrowthTest, ASuspendedVolumeIsNotChanged) {
  run([this]() -> Task<void> {
    EXPECT_TRUE((co_await suspension.suspend(SuspendMode::save)).ok());
    expect_error(co_await growth.grow({.physical_max = true}), Errc::busy, "resume it first");
    EXPECT_TRUE((co_await suspension.resume()).ok());
    co_await expect_old_volume();
  });
}

}  // namespace
}  // namespace uvdo
