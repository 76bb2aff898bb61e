// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/request_budget.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

class RequestBudgetTest : public ::testing::Test {
 protected:
  /// Makes `count` requests, each of which ends when the next turn does. A request's number says
  /// how many of all clients asked before.
  Task<void> ask(RequestBudget::Client& client, int count) {
    for (int i = 0; i < count; ++i) {
      while (client.is_at_limit()) co_await client.one_ended();
      const std::size_t number = asked_++;
      co_await client.acquire();
      served_.push_back(number);
      running_.start(end_later(client));
    }
  }
  Task<void> end_later(RequestBudget::Client& client) {
    co_await executor_.turn_end();
    client.release();
  }

  SimExecutor executor_{{.seed = 3}};
  std::size_t asked_ = 0;
  std::vector<std::size_t> served_;
  TaskGroup running_{executor_};
};

TEST_F(RequestBudgetTest, AClientHasHalfOfTheSlotsAtMost) {
  for (const std::uint32_t most : {1U, 2U, 3U, 8U}) {
    RequestBudget budget(executor_, most);
    RequestBudget::Client client(budget);
    const std::uint32_t half = (most + 1) / 2;
    for (std::uint32_t i = 0; i < half; ++i) {
      EXPECT_FALSE(client.is_at_limit());
      EXPECT_TRUE(client.try_acquire());
    }
    EXPECT_TRUE(client.is_at_limit());
    EXPECT_EQ(client.in_flight(), half);
    EXPECT_FALSE(budget.is_idle());
    for (std::uint32_t i = 0; i < half; ++i) client.release();
    EXPECT_TRUE(budget.is_idle());
  }
}

TEST_F(RequestBudgetTest, ClientsOfAllFrontEndsHaveTheirTurns) {
  constexpr std::size_t kSlots = 2;
  RequestBudget budget(executor_, kSlots);
  RequestBudget::Client first(budget);
  RequestBudget::Client second(budget);
  RequestBudget::Client third(budget);
  constexpr int kEach = 50;
  const auto outcome = executor_.run([](auto& test, auto& a, auto& b, auto& c) -> Task<void> {
    test.running_.start(test.ask(a, kEach));
    test.running_.start(test.ask(b, kEach));
    test.running_.start(test.ask(c, kEach));
    co_await test.running_.wait();
  }(*this, first, second, third));
  ASSERT_TRUE(outcome.finished) << outcome.why;
  ASSERT_EQ(served_.size(), 3U * kEach);
  // In the order of asking, but for those that are given slots at the same time.
  for (std::size_t i = 0; i < served_.size(); ++i) {
    EXPECT_LE(std::max(served_[i], i) - std::min(served_[i], i), kSlots);
  }
  EXPECT_TRUE(budget.is_idle());
}

TEST_F(RequestBudgetTest, WhoeverWaitsComesBeforeWhoeverAsksLater) {
  RequestBudget budget(executor_, 1);
  RequestBudget::Client holder(budget);
  RequestBudget::Client waiter(budget);
  const auto outcome =
      executor_.run([](auto& test, auto& budget_of, auto& a, auto& b) -> Task<void> {
        EXPECT_TRUE(a.try_acquire());
        test.running_.start(test.ask(b, 1));
        EXPECT_TRUE(budget_of.is_short());
        a.release();
        EXPECT_FALSE(a.try_acquire()) << "the slot has gone to the one that waited";
        EXPECT_FALSE(budget_of.is_short());
        co_await test.running_.wait();
      }(*this, budget, holder, waiter));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST_F(RequestBudgetTest, WhatTakesLongLeavesSlotsForTheRest) {
  RequestBudget budget(executor_, 4);
  RequestBudget::Client patient(budget);
  RequestBudget::Client quick(budget);
  int begun = 0;
  const auto outcome =
      executor_.run([](auto& test, auto& all, auto& a, auto& b, int& count) -> Task<void> {
        for (int i = 0; i < 3; ++i) {
          test.running_.start([](auto& of, auto& client, int& n) -> Task<void> {
            co_await of.acquire_long();
            co_await client.acquire();
            ++n;
          }(all, a, count));
        }
        EXPECT_EQ(count, 2);
        EXPECT_EQ(all.long_slots_left(), 0U);
        EXPECT_FALSE(all.is_short()) << "who waits for a long slot holds nobody up";
        EXPECT_TRUE(b.try_acquire());
        EXPECT_TRUE(b.try_acquire());
        for (int i = 0; i < 2; ++i) b.release();
        for (int i = 0; i < 2; ++i) {
          a.release();
          all.release_long();
        }
        co_await test.running_.wait();
        a.release();
        all.release_long();
      }(*this, budget, patient, quick, begun));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(begun, 3);
  EXPECT_TRUE(budget.is_idle());
}

}  // namespace
}  // namespace uvdo
