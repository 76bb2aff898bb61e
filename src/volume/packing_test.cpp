// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/packing.h"

#include "volume/testing/writing_fixture.h"

namespace uvdo {
namespace {

using testing::fill_compressible;

class PackingTest : public testing::WritingFixture {
 protected:
  /// The part alone: a job whose blocks nobody has named or placed.
  struct Packed {
    explicit Packed(Executor& executor) : tasks(executor) {}
    TaskGroup tasks;
    Result<void> failure;
  };
  Task<void> start(WriteJob& job, Packed& packed) {
    co_await packing.start(job, packed.tasks, packed.failure);
    jobs.leave_way_to_packer(job);
  }
  Task<bool> reads_as(Lbn lbn, std::uint64_t number) {
    AlignedMemory found(kBlockSize);
    AlignedMemory expected(kBlockSize);
    fill_compressible(expected.bytes(), number);
    EXPECT_TRUE((co_await reads.read(lbn.value() * kBlockSize, found.bytes())).ok());
    co_return testing::are_equal(found.bytes(), expected.bytes());
  }
  Task<void> lock_and_unlock(Lbn lbn, bool& has_had_it) {
    co_await in_flight.locks().lock(lbn);
    has_had_it = true;
    in_flight.locks().unlock(lbn);
  }
};

TEST_F(PackingTest, BlocksThatShrinkWaitForCompanyAndShareABlock) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1, fill_compressible}, New{Lbn{2}, 2},
                                     New{Lbn{3}, 3, fill_compressible});
    Packed packed(executor);
    co_await start(job, packed);
    co_await settle();
    EXPECT_EQ(job.blocks[0].stage, Stage::packing);
    EXPECT_EQ(job.blocks[1].stage, Stage::undecided) << "it does not shrink";
    packer.flush();
    co_await packed.tasks.wait();
    EXPECT_TRUE(packed.failure.ok());
    EXPECT_EQ(job.blocks[0].stage, Stage::ended);
    const BlockMapping first = co_await mapping_of(Lbn{1});
    const BlockMapping third = co_await mapping_of(Lbn{3});
    EXPECT_TRUE(first.is_compressed());
    EXPECT_EQ(first.pbn, third.pbn);
    EXPECT_EQ(references(first.pbn), 2U);
    EXPECT_TRUE(co_await reads_as(Lbn{3}, 3));
    placement.finish(job);
  });
}

TEST_F(PackingTest, AFragmentThatFindsNoCompanyGetsABlockOfItsOwn) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1, fill_compressible});
    Packed packed(executor);
    co_await start(job, packed);
    packer.flush();
    co_await packed.tasks.wait();
    const BlockMapping where = co_await mapping_of(Lbn{1});
    EXPECT_TRUE(where.is_mapped());
    EXPECT_FALSE(where.is_compressed());
    EXPECT_TRUE(co_await reads_as(Lbn{1}, 1));
    placement.finish(job);
  });
}

TEST_F(PackingTest, WhoWaitsForABlockDoesNotWaitForItsCompany) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1, fill_compressible});
    Packed packed(executor);
    co_await start(job, packed);
    bool has_had_it = false;
    packed.tasks.start(lock_and_unlock(Lbn{1}, has_had_it));
    co_await packed.tasks.wait();
    EXPECT_TRUE(has_had_it);
    placement.finish(job);
  });
}

TEST_F(PackingTest, AParkedJobGivesItsBuffersBackAndKeepsItsDataForReaders) {
  run([this]() -> Task<void> {
    WriteJob& job =
        *co_await accept(New{Lbn{1}, 1, fill_compressible}, New{Lbn{2}, 2, fill_compressible});
    Packed packed(executor);
    co_await start(job, packed);
    EXPECT_GT(buffers.clients.bytes_in_use(), 0U);
    packing.park(job);
    EXPECT_EQ(buffers.clients.bytes_in_use(), 0U);
    EXPECT_TRUE(co_await reads_as(Lbn{2}, 2));
    packer.flush();
    co_await packed.tasks.wait();
    EXPECT_TRUE(co_await reads_as(Lbn{2}, 2));
    placement.finish(job);
  });
}

TEST_F(PackingTest, AJobWithOtherBlocksKeepsItsBuffersAndWhoWaitsForThoseHasThePackerEmptied) {
  run([this]() -> Task<void> {
    WriteJob& job = *co_await accept(New{Lbn{1}, 1, fill_compressible}, New{Lbn{2}, 2});
    Packed packed(executor);
    co_await start(job, packed);
    packing.park(job);
    EXPECT_GT(buffers.clients.bytes_in_use(), 0U);
    bool has_had_it = false;
    TaskGroup waiting(executor);
    waiting.start(lock_and_unlock(Lbn{2}, has_had_it));
    co_await packed.tasks.wait();  // the fragment left, so that the job can go on
    EXPECT_EQ(job.blocks[0].stage, Stage::ended);
    placement.finish(job);
    co_await waiting.wait();
  });
}

TEST_F(PackingTest, ABlockThatCannotBeWrittenIsNotInTheMapAndNobodyWaitsForIt) {
  run([this]() -> Task<void> {
    WriteJob& job =
        *co_await accept(New{Lbn{1}, 1, fill_compressible}, New{Lbn{2}, 2, fill_compressible});
    Packed packed(executor);
    co_await start(job, packed);
    device.add_fault(testing::failing(Device::Op::write));
    packer.flush();
    co_await packed.tasks.wait();
    EXPECT_EQ(packed.failure.error().code(), Errc::io);
    EXPECT_EQ(co_await mapping_of(Lbn{1}), kUnmapped);
    EXPECT_EQ(job.blocks[0].stage, Stage::packing);
    placement.finish(job);
    EXPECT_FALSE(in_flight.locks().is_locked(Lbn{1}));
    EXPECT_FALSE(depot.has_promises());
  });
}

}  // namespace
}  // namespace uvdo
