// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "dedupe/hash_locks.h"
#include "dedupe/lbn_locks.h"

namespace uvdo {
namespace {

TEST(LbnLocks, HaveOneHolderAndServeTheOthersInOrder) {
  SimExecutor executor({.seed = 5});
  std::vector<int> order;
  const auto outcome = executor.run([](SimExecutor& ex, std::vector<int>& log) -> Task<void> {
    LbnLocks locks(ex, 16);
    TaskGroup tasks(ex);
    for (int id = 0; id < 5; ++id) {
      tasks.start([](SimExecutor& e, LbnLocks& l, std::vector<int>& o, int n) -> Task<void> {
        co_await l.lock(Lbn{7});
        o.push_back(n);
        co_await e.yield();
        l.unlock(Lbn{7});
      }(ex, locks, log, id));
    }
    co_await tasks.wait();
    EXPECT_EQ(locks.size(), 0U);
  }(executor, order));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(LbnLocks, GiveReadersTheHoldersDataUntilItLeaves) {
  SimExecutor executor({.seed = 5});
  const auto outcome = executor.run([](SimExecutor& ex) -> Task<void> {
    LbnLocks locks(ex, 16);
    const std::array<std::byte, 1> data{};
    co_await locks.lock(Lbn{1});
    EXPECT_EQ(locks.published(Lbn{1}), nullptr);
    locks.publish(Lbn{1}, data.data());
    EXPECT_EQ(locks.published(Lbn{1}), data.data());
    EXPECT_EQ(locks.published(Lbn{2}), nullptr);
    locks.unlock(Lbn{1});
    EXPECT_EQ(locks.published(Lbn{1}), nullptr);
  }(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(LbnLocks, DrainWaitsForHoldersOfItsRangeButNotForLaterOnes) {
  SimExecutor executor({.seed = 5});
  const auto outcome = executor.run([](SimExecutor& ex) -> Task<void> {
    LbnLocks locks(ex, 16);
    for (const std::uint64_t end : {std::uint64_t{10}, std::uint64_t{5000}}) {
      co_await locks.lock(Lbn{5});
      co_await locks.lock(Lbn{end});
      bool drained = false;
      TaskGroup tasks(ex);
      tasks.start([](LbnLocks& l, std::uint64_t last, bool& done) -> Task<void> {
        co_await l.drain(Lbn{0}, Lbn{last});
        done = true;
      }(locks, end, drained));
      co_await locks.lock(Lbn{6});
      EXPECT_FALSE(drained);
      locks.unlock(Lbn{5});
      co_await tasks.wait();
      EXPECT_TRUE(drained);
      locks.unlock(Lbn{6});
      locks.unlock(Lbn{end});
    }
  }(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

struct Blocks {
  std::array<std::byte, kBlockSize> one{};
  std::array<std::byte, kBlockSize> same{};
  std::array<std::byte, kBlockSize> other{};
  Blocks() { other[100] = std::byte{1}; }
};

TEST(HashLocks, FollowersOfEqualDataLearnWhereTheAgentPutIt) {
  SimExecutor executor({.seed = 5});
  Blocks blocks;
  const auto outcome = executor.run([](SimExecutor& ex, Blocks& b) -> Task<void> {
    HashLocks locks(ex, 16);
    const RecordName name{};
    const auto agent = locks.join(name, b.one.data());
    EXPECT_EQ(agent.role, HashLocks::Role::agent);
    const auto follower = locks.join(name, b.same.data());
    EXPECT_EQ(follower.role, HashLocks::Role::follower);
    locks.settle(*agent.lock, mapped_to(Pbn{99}));
    EXPECT_EQ(follower.lock->location, mapped_to(Pbn{99}));
    locks.leave(*follower.lock);
    EXPECT_EQ(locks.size(), 0U);
    co_return;
  }(executor, blocks));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(HashLocks, EqualNamesOfDifferentDataShareNothing) {
  SimExecutor executor({.seed = 5});
  Blocks blocks;
  const auto outcome = executor.run([](SimExecutor& ex, Blocks& b) -> Task<void> {
    HashLocks locks(ex, 16);
    const RecordName name{};
    const auto agent = locks.join(name, b.one.data());
    EXPECT_EQ(locks.join(name, b.other.data()).role, HashLocks::Role::collision);
    // Names that are equal only in the half that the table is ordered by.
    RecordName near{};
    near.bytes[0] = std::byte{1};
    EXPECT_EQ(near.hash(), name.hash());
    EXPECT_EQ(locks.join(near, b.one.data()).role, HashLocks::Role::collision);
    locks.settle(*agent.lock, std::nullopt);
    co_return;
  }(executor, blocks));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

}  // namespace
}  // namespace uvdo
