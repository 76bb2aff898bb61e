// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/hold_gate.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "base/aligned_memory.h"
#include "device/sim_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = 1U << 20U;

struct HoldGateTest : testing::Test {
  SimExecutor executor{{.seed = 3}};
  SimDevice disk{executor, kSize};
  HoldGate gate{executor, disk};
  AlignedMemory block{4096};
  TaskGroup group{executor};
  int written = 0;
  int failed = 0;

  Task<void> write(std::uint64_t at) {
    auto done = co_await gate.write(at, block.bytes());
    ++(done ? written : failed);
  }
  Task<void> sleep(Duration duration) {
    Alarm alarm(executor);
    co_await alarm.sleep(duration);
  }
  void run(Task<void> main) {
    const auto outcome = executor.run(std::move(main), 100'000);
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_EQ(disk.misuse(), "");
  }
};

TEST_F(HoldGateTest, ClosesWhenAllThatWasUnderWayIsBackAndHoldsTheRest) {
  run([](HoldGateTest& t) -> Task<void> {
    for (std::uint64_t i = 0; i < 20; ++i) t.group.start(t.write(i * 4096));
    co_await t.gate.close();
    EXPECT_EQ(t.written, 20);
    const std::uint64_t before = t.disk.requests();
    for (std::uint64_t i = 0; i < 20; ++i) t.group.start(t.write((20 + i) * 4096));
    co_await t.sleep(std::chrono::seconds(5));
    EXPECT_EQ(t.disk.requests(), before);
    EXPECT_EQ(t.written, 20);
    t.gate.open();
    co_await t.group.wait();
    EXPECT_EQ(t.written, 40);
    EXPECT_EQ(t.disk.requests(), before + 20);
  }(*this));
}

TEST_F(HoldGateTest, ClosesThoughRequestsThatItHoldsAreWaitedFor) {
  run([](HoldGateTest& t) -> Task<void> {
    t.group.start(t.write(0));
    t.group.start([](HoldGateTest& u) -> Task<void> { co_await u.gate.close(); }(t));
    t.group.start(t.write(4096));  // held at once
    co_await t.sleep(std::chrono::seconds(5));
    EXPECT_EQ(t.written, 1);
    t.gate.open();
    co_await t.group.wait();
    EXPECT_EQ(t.written, 2);
  }(*this));
}

TEST_F(HoldGateTest, AnAbandonedGateFailsWhatItHeldAndWhatComesLater) {
  run([](HoldGateTest& t) -> Task<void> {
    co_await t.gate.close();
    t.group.start(t.write(0));
    t.gate.abandon();
    co_await t.group.wait();
    co_await t.write(4096);
    EXPECT_EQ(t.failed, 2);
    EXPECT_EQ(t.disk.requests(), 0U);
  }(*this));
}

}  // namespace
}  // namespace uvdo
