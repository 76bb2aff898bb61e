// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/savings_walk.h"

#include "volume/testing/changing_fixture.h"

namespace uvdo {
namespace {

constexpr Duration kLong = std::chrono::seconds(10);

/// Stands still while the volume is suspended, and so has all that a suspension has to do with
/// beneath it.
class SavingsWalkTest : public testing::ChangingFixture {
 protected:
  /// Savings, as far as they are known, of a volume that uses so many blocks.
  VolumeStatistics savings(const SavingsWalk& walk, std::uint64_t data_blocks) {
    VolumeStatistics statistics;
    statistics.logical_blocks = kLogicalBytes / kBlockSize;
    statistics.logical_blocks_used = ledger->journal().logical_blocks_used();
    statistics.data_blocks_used = data_blocks;
    walk.add_to(statistics);
    return statistics;
  }
  SavingsWalk make() { return {executor, life, suspension, super_blocks, *ledger}; }

  /// Of different leaves.
  static constexpr Lbn kHere{7};
  static constexpr Lbn kElsewhere{7 + 3 * kEntriesPerPage};
};

TEST_F(SavingsWalkTest, NothingIsKnownBeforeSomebodyAsks) {
  run([this]() -> Task<void> {
    co_await map_to(kHere, kMappedZero);
    SavingsWalk walk = make();
    EXPECT_FALSE(savings(walk, 0).savings.zero_blocks.has_value());
    co_await walk.count(kLong);
    EXPECT_EQ(savings(walk, 0).savings.zero_blocks, 1U);
    co_await walk.wait();
  });
}

TEST_F(SavingsWalkTest, ZerosCopiesAndFragmentsAreCountedInAllLeaves) {
  run([this]() -> Task<void> {
    const Pbn shared = co_await put(kHere, 1);
    co_await map_to(kElsewhere, mapped_to(shared));
    co_await map_to(kElsewhere + 1, mapped_to(shared));
    co_await map_to(kElsewhere + 2, kMappedZero);
    const Pbn packed = new_block();
    co_await map_to(kHere + 1, mapped_to_fragment(packed, 0), Ledger::Owner::caller);
    co_await map_to(kElsewhere + 3, mapped_to_fragment(packed, 1));
    SavingsWalk walk = make();
    co_await walk.count(kLong);
    const auto found = savings(walk, 2).savings;
    EXPECT_EQ(found.zero_blocks, 1U);
    EXPECT_EQ(found.fragments_mapped, 2U);
    EXPECT_EQ(found.compressed_blocks, 1U) << "two fragments in one block";
    EXPECT_EQ(found.deduplicated_blocks, 2U) << "three in one block";
    co_await walk.wait();
  });
}

TEST_F(SavingsWalkTest, ChangesKeepWhatWasCountedTrueWhileItWalksAndAfterwards) {
  run([this]() -> Task<void> {
    co_await map_to(kHere, kMappedZero);
    co_await map_to(kElsewhere, kMappedZero);
    SavingsWalk walk = make();
    TaskGroup tasks(executor);
    tasks.start(walk.count(kLong));
    for (int turn = 0; !ledger->savings().is_complete(); ++turn) {
      // In leaves that it has met, will meet, and that are made behind its back.
      const Lbn lbn{static_cast<std::uint64_t>(turn) * 5 * kEntriesPerPage % 16000};
      co_await map_to(lbn, turn % 3 == 0 ? kUnmapped : kMappedZero);
      co_await executor.next_turn();
    }
    co_await tasks.wait();
    const auto zeros = [&] { return savings(walk, 0).savings.zero_blocks; };
    EXPECT_EQ(zeros(), ledger->journal().logical_blocks_used());
    co_await map_to(kHere, kUnmapped);
    EXPECT_EQ(zeros(), ledger->journal().logical_blocks_used());
    co_await walk.wait();
  });
}

TEST_F(SavingsWalkTest, ALeafThatIsMadeBehindItsBackIsNotMissed) {
  run([this]() -> Task<void> {
    // The second leaf of the first tree, which the walk has to read; the first is made meanwhile.
    co_await map_to(Lbn{kBlockMapRoots * kEntriesPerPage}, kMappedZero);
    co_await forget_leaves(gates.top());
    SavingsWalk walk = make();
    [[maybe_unused]] const auto found = co_await ledger->map().next_leaf(0, 0, 2);
    device.add_fault(testing::hanging(Device::Op::read));
    co_await walk.count(std::chrono::milliseconds(1));
    EXPECT_EQ(device.in_flight(), 1U);
    device.clear_faults();
    co_await map_to(Lbn{0}, kMappedZero);
    device.release_hung(0);
    co_await walk.wait();
    EXPECT_EQ(savings(walk, 0).savings.zero_blocks, 2U);
  });
}

TEST_F(SavingsWalkTest, WhoAsksWaitsAsLongAsHisPatienceAndItGoesOnBehindHim) {
  run([this]() -> Task<void> {
    co_await map_to(kHere, kMappedZero);
    // Its first walk over the trees reads pages of the map that nobody has needed yet.
    device.add_fault(testing::hanging(Device::Op::read));
    SavingsWalk walk = make();
    const TimePoint before = executor.now();
    co_await walk.count(std::chrono::milliseconds(100));
    EXPECT_GE(executor.now() - before, std::chrono::milliseconds(100));
    EXPECT_FALSE(savings(walk, 0).savings.zero_blocks.has_value());
    device.clear_faults();
    device.release_hung(0);
    co_await walk.wait();
    EXPECT_EQ(savings(walk, 0).savings.zero_blocks, 1U);
  });
}

TEST_F(SavingsWalkTest, OfAMapThatCannotBeReadTheyStayUnknown) {
  run([this]() -> Task<void> {
    co_await map_to(kHere, kMappedZero);
    device.add_fault(testing::failing(Device::Op::read));
    SavingsWalk walk = make();
    co_await walk.count(std::chrono::milliseconds(100));
    EXPECT_FALSE(savings(walk, 0).savings.zero_blocks.has_value());
    co_await walk.wait();
  });
}

TEST_F(SavingsWalkTest, ASuspendedVolumeIsNotWalkedOver) {
  run([this]() -> Task<void> {
    EXPECT_TRUE((co_await suspension.suspend(SuspendMode::save)).ok());
    SavingsWalk walk = make();
    const TimePoint before = executor.now();
    co_await walk.count(kLong);
    EXPECT_LT(executor.now() - before, kLong / 2) << "nobody is kept waiting";
    EXPECT_FALSE(ledger->savings().has_begun());
    EXPECT_TRUE((co_await suspension.resume()).ok());
    co_await walk.count(kLong);
    EXPECT_TRUE(ledger->savings().is_complete());
    co_await walk.wait();
  });
}

}  // namespace
}  // namespace uvdo
