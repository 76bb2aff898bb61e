// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/request_gate.h"

#include <optional>

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

struct Seen {
  int writes = 0;
  int reads = 0;
  int refused = 0;
};

Task<void> write(RequestGate& gate, Seen& seen) {
  const RequestPass pass = co_await gate.enter();
  ++(pass ? seen.writes : seen.refused);
}
Task<void> read(RequestGate& gate, Seen& seen) {
  const RequestPass pass = co_await gate.enter_to_read();
  ++(pass ? seen.reads : seen.refused);
}

/// Runs `body` with a gate, in several orders of those who are ready.
template <class Body>
void in_many_orders(Body body) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    SimExecutor executor({.seed = seed});
    const auto outcome = executor.run([](SimExecutor& on, Body& what) -> Task<void> {
      RequestGate gate(on);
      TaskGroup requests(on);
      Seen seen;
      co_await what(on, gate, requests, seen);
      co_await requests.wait();
    }(executor, body));
    EXPECT_TRUE(outcome) << outcome.why;
  }
}

TEST(RequestGate, ThatIsAbandonedIsLeftByThoseWhoWereHeldBeforeItIsDrained) {
  in_many_orders([](Executor&, RequestGate& gate, TaskGroup& requests, Seen& seen) -> Task<void> {
    EXPECT_TRUE(co_await gate.close());
    for (int i = 0; i < 3; ++i) requests.start(write(gate, seen));
    for (int i = 0; i < 3; ++i) requests.start(read(gate, seen));
    gate.abandon();
    co_await gate.drain();
    EXPECT_EQ(seen.refused, 6);
  });
}

TEST(RequestGate, WhoIsLetInIsUnderWayAndWhoIsRefusedIsNot) {
  in_many_orders([](Executor&, RequestGate& gate, TaskGroup&, Seen&) -> Task<void> {
    {
      const RequestPass pass = co_await gate.enter();
      EXPECT_TRUE(pass);
      EXPECT_EQ(gate.under_way(), 1U);
    }
    EXPECT_EQ(gate.under_way(), 0U);
    gate.abandon();
    const RequestPass refused = co_await gate.enter();
    EXPECT_FALSE(refused);
    EXPECT_EQ(gate.under_way(), 0U);
  });
}

TEST(RequestGate, OpenForReadsLetsNoWriteInAndEndsTheClosing) {
  in_many_orders(
      [](Executor& on, RequestGate& gate, TaskGroup& requests, Seen& seen) -> Task<void> {
        std::optional<RequestPass> pass(gate);
        bool is_closed = true;
        requests.start([](RequestGate& it, bool& result) -> Task<void> {
          result = co_await it.close();
        }(gate, is_closed));
        requests.start(write(gate, seen));
        requests.start(read(gate, seen));
        gate.open_for_reads();
        while (seen.reads == 0 || is_closed) co_await on.yield();
        EXPECT_EQ(seen.writes, 0);
        gate.open();
        pass.reset();
      });
}

}  // namespace
}  // namespace uvdo
