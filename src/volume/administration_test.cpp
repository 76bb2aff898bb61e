// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/administration.h"

#include <string>

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

Task<void> change(Executor& executor, Administration& all, std::string& order, char name) {
  const RequestPass pass(all.under_way());
  co_await all.begin();
  order += name;
  co_await executor.next_turn();
  order += name;
  all.end();
}

TEST(Administration, ChangesComeOneAfterTheOtherAndTheStopAfterAll) {
  SimExecutor executor({.seed = 1, .order = SimOrder::fifo});
  std::string order;
  const auto outcome = executor.run([](SimExecutor& on, std::string& seen) -> Task<void> {
    Administration all(on);
    TaskGroup changes(on);
    changes.start(change(on, all, seen, 'a'));
    changes.start(change(on, all, seen, 'b'));
    co_await all.drain();
    seen += '.';
    co_await changes.wait();
  }(executor, order));
  EXPECT_TRUE(outcome) << outcome.why;
  EXPECT_EQ(order, "aabb.");
}

}  // namespace
}  // namespace uvdo
