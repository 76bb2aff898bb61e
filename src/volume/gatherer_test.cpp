// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/gatherer.h"

#include "ledger/testing/ledger_fixture.h"

namespace uvdo {
namespace {

class GathererTest : public testing::LedgerFixture {
 protected:
  Gatherer make(Duration delay) {
    return {executor,        life,      notifier,
            ledger->depot(), in_flight, jobs,
            delay,           tasks,     [this](WriteJob& job) { end(job); }};
  }
  void end(WriteJob& job) {
    started.push_back(job.count);
    for (WriteBlock& block : job.all()) in_flight.locks().unlock(block.lbn);
    ledger->depot().unreserve(std::exchange(job.promised, 0));
    jobs.give(job);
  }
  Task<bool> accept(Gatherer& gatherer, Lbn lbn) {
    Buffer data = co_await buffers.acquire(kBlockSize);
    co_await in_flight.locks().lock(lbn);
    co_return gatherer.accept(lbn, data);
  }

  VolumeLife life;
  InFlight in_flight{executor, 256};
  WriteJobs jobs{executor, 4};
  BufferPool buffers{executor, 1U << 20U};
  TaskGroup tasks{executor};
  std::vector<std::size_t> started;
};

TEST_F(GathererTest, WritesOfATurnTravelTogether) {
  run([this]() -> Task<void> {
    Gatherer gatherer = make(Duration{0});
    EXPECT_TRUE(co_await accept(gatherer, Lbn{1}));
    EXPECT_TRUE(co_await accept(gatherer, Lbn{9}));
    EXPECT_NE(in_flight.newer_data(Lbn{9}), nullptr);
    gatherer.check_invariants();
    co_await tasks.wait();
    EXPECT_EQ(started, std::vector<std::size_t>{2});
    EXPECT_EQ(in_flight.newer_data(Lbn{9}), nullptr);
  });
}

TEST_F(GathererTest, AFullJobDoesNotWaitForTheTurnsEnd) {
  run([this]() -> Task<void> {
    Gatherer gatherer = make(Duration{0});
    for (std::uint64_t n = 0; n < WriteJob::kMaxBlocks + 1; ++n) {
      EXPECT_TRUE(co_await accept(gatherer, Lbn{n}));
    }
    EXPECT_EQ(started, std::vector<std::size_t>{WriteJob::kMaxBlocks});
    co_await tasks.wait();
    EXPECT_EQ(started.size(), 2U);
  });
}

TEST_F(GathererTest, FewBlocksSleepUntilSomebodyWaitsForOne) {
  run([this]() -> Task<void> {
    Gatherer gatherer = make(std::chrono::hours(1));
    EXPECT_TRUE(co_await accept(gatherer, Lbn{1}));
    const TimePoint begin = executor.now();
    co_await in_flight.locks().lock(Lbn{1});
    in_flight.locks().unlock(Lbn{1});
    co_await tasks.wait();
    EXPECT_LT(executor.now() - begin, std::chrono::hours(1));
    EXPECT_EQ(started, std::vector<std::size_t>{1});
  });
}

TEST_F(GathererTest, WhatCannotBePromisedRoomIsNotAccepted) {
  run([this]() -> Task<void> {
    Gatherer gatherer = make(Duration{0});
    const std::uint64_t all = ledger->depot().free_blocks();
    EXPECT_TRUE(ledger->depot().reserve(all));
    EXPECT_FALSE(co_await accept(gatherer, Lbn{1}));
    in_flight.locks().unlock(Lbn{1});
    ledger->depot().unreserve(all);
    EXPECT_TRUE(started.empty());
  });
}

}  // namespace
}  // namespace uvdo
