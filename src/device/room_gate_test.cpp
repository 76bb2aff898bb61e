// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/room_gate.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "base/block_types.h"
#include "device/sim_device.h"

namespace uvdo {
namespace {

using State = RoomGate::State;

SimFault full(std::uint64_t skip, std::uint64_t count) {
  SimFault fault;
  fault.kind = SimFault::Kind::full;
  fault.skip = skip;
  fault.count = count;
  return fault;
}

struct World {
  explicit World(Duration limit, RoomGate::Patience patience, std::uint64_t instant_one_in = 0)
      : device(executor, 1U << 20U, {.instant_one_in = instant_one_in}),
        gate(executor, device, limit, patience) {
    gate.on_state([this](State state) { states.push_back(state); });
  }
  Task<void> write(std::uint64_t block, std::vector<std::byte>& memory) {
    const auto data = aligned(memory);
    const Result<void> done = co_await gate.write(block * kBlockSize, data);
    results.push_back(done ? std::optional<Errc>() : done.error().code());
  }
  static ConstBytes aligned(std::vector<std::byte>& memory) {
    memory.resize(2 * kBlockSize, std::byte{7});
    void* at = memory.data();
    std::size_t space = memory.size();
    return {static_cast<const std::byte*>(std::align(kBlockSize, kBlockSize, at, space)),
            kBlockSize};
  }
  /// So many writes side by side.
  void write_all(std::size_t count) {
    std::vector<std::vector<std::byte>> memory(count);
    const auto outcome =
        executor.run([](World& world, std::vector<std::vector<std::byte>>& bytes) -> Task<void> {
          TaskGroup group(world.executor);
          for (std::size_t i = 0; i < bytes.size(); ++i) group.start(world.write(i, bytes[i]));
          co_await group.wait();
        }(*this, memory));
    EXPECT_TRUE(outcome.finished) << outcome.why;
  }

  SimExecutor executor{{.seed = 7}};
  SimDevice device;
  RoomGate gate;
  std::vector<State> states;
  std::vector<std::optional<Errc>> results;
};

TEST(RoomGate, WritesThatFindNoRoomWaitForIt) {
  for (const std::uint64_t instant_one_in : {0U, 1U}) {
    World world(std::chrono::seconds(60), RoomGate::Patience::endless, instant_one_in);
    world.device.add_fault(full(1, 9));
    world.write_all(5);
    EXPECT_EQ(world.results, std::vector<std::optional<Errc>>(5));
    EXPECT_EQ(world.states, (std::vector<State>{State::waiting, State::open}));
    EXPECT_EQ(world.gate.waiting_writes(), 0U);
    EXPECT_EQ(world.gate.waiting_bytes(), 0U);
    EXPECT_EQ(world.gate.shortages(), 1U);
    EXPECT_EQ(world.gate.last_error(), ENOSPC);
  }
}

TEST(RoomGate, RefusesAfterTheTimeLimitAndGoesOnByItself) {
  World world(std::chrono::seconds(2), RoomGate::Patience::endless);
  world.device.add_fault(full(0, 12));
  world.write_all(3);
  EXPECT_EQ(world.results, std::vector<std::optional<Errc>>(3));
  ASSERT_GE(world.states.size(), 3U);
  EXPECT_EQ(world.states[0], State::waiting);
  EXPECT_EQ(world.states[1], State::refusing);
  EXPECT_EQ(world.states.back(), State::open);
}

TEST(RoomGate, AnotherTimeLimitCountsForThoseThatWait) {
  World world(std::chrono::hours(24), RoomGate::Patience::endless);
  world.device.add_fault(full(0, 20));
  world.gate.on_state([&world](State state) {
    world.states.push_back(state);
    if (state == State::waiting) world.gate.set_time_limit(std::chrono::seconds(1));
  });
  world.write_all(1);
  EXPECT_EQ(world.gate.time_limit(), std::chrono::seconds(1));
  EXPECT_NE(std::ranges::find(world.states, State::refusing), world.states.end());
}

TEST(RoomGate, GivesUpWhereItsPatienceIsLimited) {
  World world(std::chrono::seconds(2), RoomGate::Patience::limited);
  world.device.add_fault(full(1, UINT64_MAX));
  world.write_all(4);
  EXPECT_EQ(std::ranges::count(world.results, std::optional(Errc::no_space)), 3);
  EXPECT_EQ(world.states, (std::vector<State>{State::waiting, State::given_up}));
  world.device.clear_faults();
  world.write_all(1);  // what comes later must not reach the disk alone
  EXPECT_EQ(world.results.back(), Errc::no_space);
}

TEST(RoomGate, AsksAFullDeviceSeldom) {
  World world(std::chrono::seconds(60), RoomGate::Patience::endless);
  world.device.add_fault(full(0, 200 + 30));
  world.write_all(200);
  EXPECT_EQ(world.results, std::vector<std::optional<Errc>>(200));
  // The first attempts, and the tries of one of them, once a second in the end.
  EXPECT_LT(world.device.count_of(Device::Op::write), 200U + 30U + 200U + 64U);
}

TEST(RoomGate, OtherErrorsPass) {
  World world(std::chrono::seconds(60), RoomGate::Patience::endless);
  SimFault broken;
  broken.skip = 1;
  broken.count = 1;
  world.device.add_fault(broken);
  world.write_all(3);
  EXPECT_EQ(std::ranges::count(world.results, std::optional(Errc::io)), 1);
  EXPECT_TRUE(world.states.empty());
}

TEST(RoomGate, ZeroingWaitsForRoomAsWritesDo) {
  World world(std::chrono::seconds(60), RoomGate::Patience::endless);
  world.device.add_fault(full(0, 2));
  const auto outcome = world.executor.run([](Device& gate) -> Task<void> {
    const auto done = co_await gate.write_zeroes(0, 4 * kBlockSize);
    EXPECT_TRUE(done.ok());
  }(world.gate));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(world.states, (std::vector<State>{State::waiting, State::open}));
}

}  // namespace
}  // namespace uvdo
