// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/flush_gate.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "async/wait_queue.h"
#include "device/sim_device.h"

namespace uvdo {
namespace {

Task<void> flush_into(FlushGate& gate, std::vector<bool>& results) {
  const Result<void> done = co_await gate.flush();
  results.push_back(done.ok());
}

TEST(FlushGate, FlushesAskedForMeanwhileShareOneThatBeginsLater) {
  SimExecutor executor({.seed = 3});
  SimDevice device(executor, 1U << 20U, {.instant_one_in = 0});
  FlushGate gate(executor, device);
  std::vector<bool> results;
  const auto outcome = executor.run([](SimExecutor& on, FlushGate& target, SimDevice& below,
                                       std::vector<bool>& out) -> Task<void> {
    TaskGroup group(on);
    for (int i = 0; i < 5; ++i) group.start(flush_into(target, out));
    EXPECT_EQ(below.count_of(Device::Op::flush), 1U);
    co_await group.wait();
    EXPECT_EQ(below.count_of(Device::Op::flush), 2U);
  }(executor, gate, device, results));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(results, std::vector<bool>(5, true));
}

TEST(FlushGate, NoFlushSucceedsAfterOneThatFailed) {
  for (const std::uint64_t instant_one_in : {0U, 1U}) {
    SimExecutor executor({.seed = 4});
    SimDevice device(executor, 1U << 20U, {.instant_one_in = instant_one_in});
    SimFault fault;
    fault.count = 1;
    device.add_fault(fault);
    FlushGate gate(executor, device);
    std::vector<bool> results;
    const auto outcome =
        executor.run([](SimExecutor& on, FlushGate& target, std::vector<bool>& out) -> Task<void> {
          TaskGroup group(on);
          for (int i = 0; i < 3; ++i) group.start(flush_into(target, out));
          co_await group.wait();
          co_await flush_into(target, out);
        }(executor, gate, results));
    EXPECT_TRUE(outcome.finished) << outcome.why;
    EXPECT_EQ(results, std::vector<bool>(4, false));
    EXPECT_TRUE(gate.has_failed());
  }
}

}  // namespace
}  // namespace uvdo
