// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/deduplication.h"

#include "format/advice.h"
#include "volume/testing/parts_fixture.h"

namespace uvdo {
namespace {

using Role = HashLocks::Role;

class DeduplicationTest : public testing::PartsFixture {
 protected:
  /// Has the index say that noise `number` is at `where`.
  void advise(std::uint64_t number, BlockMapping where) {
    const AlignedMemory data = testing::noise(number);
    const std::byte* const block = data.data();
    IndexQuery query;
    record_names_of({&block, 1}, &query.name);
    index->record(query, encode_advice(where));
  }
  /// A block that is free and has noise `number` of its last owner.
  Task<Pbn> put_into_free_block(std::uint64_t number) {
    const Pbn pbn = new_block();
    const AlignedMemory data = testing::noise(number);
    EXPECT_TRUE((co_await device.write(byte_of(pbn), data.bytes())).ok());
    depot.release(pbn);
    co_return pbn;
  }
  /// What its job does with an agent that has found a place, or none.
  Task<void> map_and_settle(WriteBlock& block, BlockMapping where) {
    co_await map_to(block.lbn, where, Ledger::Owner::caller);
    block.location = where;
    if (block.stage == Stage::undecided) block.enter(Stage::located);
    block.enter(Stage::applied);
    deduplication.settle(block);
  }
  void give_up(WriteJob& job) {
    for (WriteBlock& block : job.all()) {
      if (block.is_agent()) deduplication.settle(block);
      if (block.is_follower() && block.lock != nullptr) deduplication.leave(block);
      if (block.claimed) depot.release(block.location.pbn);
      in_flight.locks().unlock(block.lbn);
    }
    depot.unreserve(std::exchange(job.promised, 0));
    jobs.give(job);
  }

  ReadPath reads{executor,     blocks(), *ledger, in_flight,        entrance,
                 index_holder, buffers,  options, counters.requests};
  Deduplication deduplication{executor, depot,   reads, index_holder,
                              buffers,  options, 256,   counters};
};

TEST_F(DeduplicationTest, ZerosNeedNeitherANameNorABlock) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 0});
    co_await deduplication.find_locations(job);
    EXPECT_EQ(job.blocks[0].stage, Stage::located);
    EXPECT_EQ(job.blocks[0].location, kMappedZero);
    EXPECT_EQ(job.query_count, 0U);
    give_up(job);
  });
}

TEST_F(DeduplicationTest, WhatTheIndexKnowsIsFoundWhereItIs) {
  run([this]() -> Task<void> {
    const Pbn pbn = co_await put(Lbn{9}, 1);
    advise(1, mapped_to(pbn));
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 2});
    co_await deduplication.find_locations(job);
    EXPECT_EQ(job.blocks[0].stage, Stage::located);
    EXPECT_EQ(job.blocks[0].location, mapped_to(pbn));
    EXPECT_EQ(job.blocks[1].stage, Stage::undecided) << "nobody has stored that";
    EXPECT_EQ(counters.hash_locks.dedupe_advice_valid, 1U);
    give_up(job);
  });
}

TEST_F(DeduplicationTest, NothingRestsOnANameAlone) {
  run([this]() -> Task<void> {
    const Pbn other = co_await put(Lbn{9}, 2);
    advise(1, mapped_to(other));
    const Pbn unreadable = co_await put(Lbn{10}, 3);
    advise(3, mapped_to(unreadable));
    advise(4, mapped_to(layout->super_block.block_map.root_origin));
    device.add_fault(
        testing::failing(Device::Op::read, byte_of(unreadable), byte_of(unreadable + 1)));
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 3}, New{Lbn{3}, 4});
    co_await deduplication.find_locations(job);
    for (const WriteBlock& block : job.all()) EXPECT_EQ(block.stage, Stage::undecided);
    EXPECT_EQ(counters.hash_locks.dedupe_advice_stale, 2U);
    EXPECT_EQ(counters.errors.invalid_advice_pbn_count, 1U);
    EXPECT_FALSE(notifier.is_read_only());
    give_up(job);
  });
}

TEST_F(DeduplicationTest, AFreeBlockIsTakenForItsOldDataAndGivenBackIfTheyAreOthers) {
  run([this]() -> Task<void> {
    const Pbn right = co_await put_into_free_block(1);
    advise(1, mapped_to(right));
    WriteJob& job = *co_await accept(New{Lbn{1}, 1});
    co_await deduplication.find_locations(job);
    EXPECT_EQ(job.blocks[0].location, mapped_to(right));
    EXPECT_TRUE(job.blocks[0].claimed);
    EXPECT_EQ(references(right), kProvisional);
    give_up(job);

    advise(3, mapped_to(right));
    WriteJob& next = *co_await accept(New{Lbn{1}, 3});
    co_await deduplication.find_locations(next);
    EXPECT_EQ(next.blocks[0].stage, Stage::undecided);
    EXPECT_FALSE(next.blocks[0].claimed);
    EXPECT_EQ(references(right), 0U);
    give_up(next);
  });
}

TEST_F(DeduplicationTest, OfEqualBlocksTheFirstIsTheAgentAndTheOthersShareItsBlock) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 1});
    co_await deduplication.find_locations(job);
    WriteBlock& agent = job.blocks[0];
    WriteBlock& follower = job.blocks[1];
    EXPECT_EQ(agent.role, Role::agent);
    EXPECT_EQ(follower.role, Role::follower);
    EXPECT_EQ(job.query_count, 1U) << "the index is asked once";

    TaskGroup tasks(executor);
    std::optional<ReadGuard> guard;
    tasks.start(deduplication.follow(follower, guard));
    co_await settle();
    EXPECT_EQ(follower.stage, Stage::undecided) << "it waits for the agent";
    const BlockMapping where = mapped_to(new_block());
    co_await map_and_settle(agent, where);
    co_await tasks.wait();
    EXPECT_EQ(follower.location, where);
    EXPECT_TRUE(guard) << "so that the block stays as it is until the map says so";
    guard.reset();
    give_up(job);
  });
}

TEST_F(DeduplicationTest, AFollowerOfAnAgentThatFailedBeginsAnew) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 1});
    co_await deduplication.find_locations(job);
    deduplication.settle_all(job);  // none is in the map
    WriteBlock& follower = job.blocks[1];
    std::optional<ReadGuard> guard;
    co_await deduplication.follow(follower, guard);
    EXPECT_EQ(follower.stage, Stage::undecided);
    deduplication.join(follower);
    EXPECT_EQ(follower.role, Role::agent);
    guard.reset();
    give_up(job);
  });
}

TEST_F(DeduplicationTest, AFollowerThatComesTooLateDoesNotShareWhatHasBeenFreed) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1}, New{Lbn{2}, 1});
    co_await deduplication.find_locations(job);
    const Pbn pbn = new_block();
    co_await map_and_settle(job.blocks[0], mapped_to(pbn));
    // The agent's block is overwritten, becomes free, and is somebody else's before the follower
    // has its turn.
    co_await map_to(Lbn{1}, kUnmapped);
    EXPECT_TRUE((co_await ledger->journal().commit_all()).ok());
    co_await depot.wait_for_frees();
    EXPECT_TRUE(depot.claim_free(pbn));
    co_await map_to(Lbn{7}, mapped_to(pbn), Ledger::Owner::caller);
    std::optional<ReadGuard> guard;
    co_await deduplication.follow(job.blocks[1], guard);
    EXPECT_EQ(job.blocks[1].stage, Stage::undecided);
    guard.reset();
    give_up(job);
  });
}

}  // namespace
}  // namespace uvdo
