// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/map_update.h"

#include "volume/testing/parts_fixture.h"

namespace uvdo {
namespace {

class MapUpdateTest : public testing::PartsFixture {
 protected:
  /// Lbns of two leaves.
  static constexpr Lbn kHere{5};
  static constexpr Lbn kElsewhere{5 + kEntriesPerPage};

  static void locate(WriteBlock& block, BlockMapping where, bool is_new) {
    block.location = where;
    block.is_new = is_new;
    block.enter(Stage::located);
  }
  void give_up(WriteJob& job) {
    depot.unreserve(std::exchange(job.promised, 0));
    for (const WriteBlock& block : job.all()) in_flight.locks().unlock(block.lbn);
    jobs.give(job);
  }
};

TEST_F(MapUpdateTest, TheMapSaysWhereEachLocatedBlockIs) {
  run([this]() -> Task<void> {
    MapUpdate update(executor, *ledger);
    WriteJob& job = *co_await accept(New{kHere, 1}, New{kHere + 1, 2}, New{kElsewhere, 3});
    const Pbn first = new_block();
    const Pbn second = new_block();
    locate(job.blocks[0], mapped_to(first), true);
    locate(job.blocks[2], mapped_to(second), true);
    auto applied = co_await update.apply(job);
    EXPECT_TRUE(applied.ok());
    EXPECT_EQ(co_await mapping_of(kHere), mapped_to(first));
    EXPECT_EQ(co_await mapping_of(kHere + 1), kUnmapped) << "it has no place yet";
    EXPECT_EQ(co_await mapping_of(kElsewhere), mapped_to(second));
    EXPECT_EQ(job.blocks[0].stage, Stage::applied);
    EXPECT_EQ(job.blocks[1].stage, Stage::undecided);
    EXPECT_EQ(job.last_point, ledger->journal().last_point()) << "what a FUA write commits";
    give_up(job);
  });
}

TEST_F(MapUpdateTest, ABlockWithoutAReferenceToGiveIsNotSharedAndTheWriteLooksForAnother) {
  run([this]() -> Task<void> {
    MapUpdate update(executor, *ledger);
    const Pbn pbn = co_await put(Lbn{1000}, 1);
    for (Lbn lbn{1001}; references(pbn) < 254; ++lbn) co_await map_to(lbn, mapped_to(pbn));
    WriteJob& job = *co_await accept(New{kHere, 1});
    locate(job.blocks[0], mapped_to(pbn), false);
    auto applied = co_await update.apply(job);
    EXPECT_TRUE(applied.ok());
    EXPECT_EQ(job.blocks[0].stage, Stage::undecided);
    EXPECT_EQ(co_await mapping_of(kHere), kUnmapped);
    EXPECT_EQ(references(pbn), 254U);
    give_up(job);
  });
}

TEST_F(MapUpdateTest, AJobThatWasRefusedChangesNothing) {
  run([this]() -> Task<void> {
    MapUpdate update(executor, *ledger);
    WriteJob& job = *co_await accept(New{kHere, 0});
    locate(job.blocks[0], kMappedZero, false);
    PatientRequest request(entrance.patient());
    bool has_ended = false;
    const auto carry_out = [&]() -> Task<Result<void>> {
      const Refusal refusal(request);
      job.refusal = &refusal;
      co_await settle();
      auto applied = co_await update.apply(job);
      EXPECT_EQ(applied.error().code(), Errc::no_space);
      has_ended = true;
      co_return applied;
    };
    TaskGroup tasks(executor);
    tasks.start([](PatientRequest& patient, Task<Result<void>> work) -> Task<void> {
      auto answered = co_await patient.answer(std::move(work));
      EXPECT_EQ(answered.error().code(), Errc::no_space);
    }(request, carry_out()));
    entrance.patient().refuse(executor.now());
    co_await tasks.wait();
    while (!has_ended) co_await executor.next_turn();
    EXPECT_EQ(co_await mapping_of(kHere), kUnmapped);
    give_up(job);
  });
}

TEST_F(MapUpdateTest, LeavesThatAreNotInMemoryAreReadSideBySide) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{kHere, 0}, New{kElsewhere, 0});
    co_await forget_leaves(gates.top());
    MapUpdate update(executor, *ledger);
    for (WriteBlock& block : job.all()) locate(block, kMappedZero, false);
    // The pages above them are in memory from now on.
    EXPECT_TRUE((co_await ledger->map().next_leaf(5 % kBlockMapRoots, 0, 1)).ok());
    device.add_fault(testing::hanging(Device::Op::read));
    TaskGroup tasks(executor);
    tasks.start([](MapUpdate& part, WriteJob& what) -> Task<void> {
      auto applied = co_await part.apply(what);
      EXPECT_TRUE(applied.ok());
    }(update, job));
    co_await settle();
    EXPECT_EQ(device.in_flight(), 2U);
    device.clear_faults();
    device.release_hung(0);
    co_await tasks.wait();
    EXPECT_EQ(co_await mapping_of(kElsewhere), kMappedZero);
    EXPECT_EQ(job.fetched_count, 0U) << "none is held any longer than needed";
    job.promised = 0;  // of the ledger that has gone
    give_up(job);
  });
}

TEST_F(MapUpdateTest, ALeafThatCannotBeReadFailsTheJob) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{kHere, 0});
    co_await forget_leaves(gates.top());
    MapUpdate update(executor, *ledger);
    locate(job.blocks[0], kMappedZero, false);
    device.add_fault(testing::failing(Device::Op::read));
    auto applied = co_await update.apply(job);
    EXPECT_FALSE(applied.ok());
    EXPECT_EQ(job.blocks[0].stage, Stage::located);
    job.promised = 0;
    give_up(job);
  });
}

}  // namespace
}  // namespace uvdo
