// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/write_admission.h"

#include <array>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/sim_device.h"
#include "volume/testing/entrance_bench.h"

namespace uvdo {
namespace {

SimFault full_for(std::uint64_t writes) {
  SimFault fault;
  fault.kind = SimFault::Kind::full;
  fault.count = writes;
  return fault;
}

class WriteAdmissionTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run(body());
    EXPECT_TRUE(outcome) << outcome.why;
  }
  /// A write of the volume itself, which waits in the gate.
  Task<void> write() {
    auto done = co_await gate.write(0, block.block(0));
    written = done.ok();
  }
  Task<void> admit() {
    auto admitted = co_await admission.admit_write();
    answer = admitted ? Errc::cancelled : admitted.error().code();
    is_admitted = admitted.ok();
    is_answered = true;
  }

  SimExecutor executor{{.seed = 3}};
  SimDevice device{executor, 1U << 20U};
  RoomGate gate{executor, device, std::chrono::seconds(10), RoomGate::Patience::endless};
  ReadOnlyNotifier notifier;
  testing::EntranceBench bench{executor, device, notifier};
  VolumeLife& life = bench.life;
  ErrorStatistics& errors = bench.errors;
  BufferPool buffers{executor, 1U << 20U};
  std::vector<std::string> log;
  WriteAdmission admission{
      executor,       gate,
      "the disk",     life,
      bench.entrance, buffers,
      errors,         [this](const LogLine& line) {
                             log.push_back(line.text); }};
  AlignedMemory block{kBlockSize};
  bool written = false;
  bool is_answered = false;
  bool is_admitted = false;
  Errc answer{};
};

TEST_F(WriteAdmissionTest, AWriteIsHeldBackUntilThereIsRoom) {
  device.add_fault(full_for(5));
  run([this]() -> Task<void> {
    TaskGroup tasks(executor);
    tasks.start(write());
    while (gate.is_open()) co_await executor.next_turn();
    tasks.start(admit());
    EXPECT_FALSE(is_answered);
    co_await tasks.wait();
  });
  EXPECT_TRUE(written);
  EXPECT_TRUE(is_admitted);
  EXPECT_EQ(errors.no_space_error_count, 0U);
  ASSERT_EQ(log.size(), 2U);
  EXPECT_NE(log[0].find("no room beneath the volume"), std::string::npos) << log[0];
  EXPECT_NE(log[1].find("there is room beneath the volume again"), std::string::npos) << log[1];
}

TEST_F(WriteAdmissionTest, AfterTheTimeLimitItIsRefusedAndTheBreakIsTold) {
  int refusals = 0;
  admission.on_refusal([&] { ++refusals; });
  device.add_fault(full_for(1000));
  run([this]() -> Task<void> {
    TaskGroup tasks(executor);
    tasks.start(write());
    while (gate.is_open()) co_await executor.next_turn();
    co_await admit();
    EXPECT_EQ(answer, Errc::no_space);
    EXPECT_TRUE(buffers.is_refusing());
    co_await tasks.wait();  // the volume's own write finds room in the end
  });
  EXPECT_TRUE(written);
  EXPECT_GE(refusals, 1);
  EXPECT_EQ(errors.no_space_error_count, 1U);
  EXPECT_FALSE(buffers.is_refusing());
}

TEST_F(WriteAdmissionTest, AVolumeThatLeavesHoldsNoneBack) {
  device.add_fault(full_for(5));
  run([this]() -> Task<void> {
    TaskGroup tasks(executor);
    tasks.start(write());
    while (gate.is_open()) co_await executor.next_turn();
    tasks.start(admit());
    life.enter(VolumeLife::Stage::in_use);
    life.enter(VolumeLife::Stage::leaving);
    gate.changed().wake_all();
    for (int turn = 0; turn < 100 && !is_answered; ++turn) co_await executor.next_turn();
    EXPECT_TRUE(is_answered);
    EXPECT_EQ(answer, Errc::no_space);
    co_await tasks.wait();
  });
}

}  // namespace
}  // namespace uvdo
