// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/super_block_store.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/sim_device.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

constexpr Pbn kPlace{4};

class SuperBlockStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    FormatRequest request;
    request.device_bytes = 4ULL << 30U;
    request.slab_bits = 13;
    request.nonce = 7;
    auto made = make_volume_layout(request);
    ASSERT_TRUE(made.ok());
    layout_ = *made;
  }
  static SuperBlockStore::Change set_state(VolumeState state) {
    return [state](SuperBlock& next) -> Result<void> {
      next.state = state;
      return {};
    };
  }
  [[nodiscard]] Result<SuperBlock> on_disk() const {
    AlignedMemory block(kBlockSize);
    disk_.durable().read(device_byte(kPlace, 0), block.bytes());
    return decode_super_block(block.bytes(), layout_.geometry);
  }
  template <class Body>
  void run(Body body) {
    const auto outcome = executor_.run(body());
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_EQ(disk_.misuse(), "");
  }

  VolumeLayout layout_;
  SimExecutor executor_{{.seed = 5, .order = SimOrder::fifo}};
  SimDevice disk_{executor_, 1U << 20U};
};

TEST_F(SuperBlockStoreTest, WritersComeOneAfterTheOtherAndNoneUndoesWhatAnotherDid) {
  SuperBlockStore store(executor_, PbnDevice(disk_, 0), kPlace, layout_.super_block);
  run([&]() -> Task<void> {
    TaskGroup writers(executor_);
    const auto change = [](SuperBlockStore& to, SuperBlockStore::Change what) -> Task<void> {
      const auto done = co_await to.change(std::move(what));
      EXPECT_TRUE(done.ok());
    };
    writers.start(change(store, set_state(VolumeState::clean)));
    writers.start(change(store, [&](SuperBlock& next) -> Result<void> {
      EXPECT_EQ(next.state, VolumeState::clean) << "that of who came before";
      EXPECT_EQ(on_disk()->state, VolumeState::clean) << "which is stable";
      next.config.logical_blocks += 10;
      return {};
    }));
    writers.start(change(store, set_state(VolumeState::read_only_mode)));
    EXPECT_EQ(store.current(), layout_.super_block) << "until the first is stable";
    co_await writers.wait();
  });
  EXPECT_EQ(store.current().state, VolumeState::read_only_mode);
  EXPECT_EQ(store.current().config.logical_blocks, layout_.super_block.config.logical_blocks + 10);
  const auto found = on_disk();
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, store.current());
}

TEST_F(SuperBlockStoreTest, WhoThinksBetterOfItWritesNothing) {
  SuperBlockStore store(executor_, PbnDevice(disk_, 0), kPlace, layout_.super_block);
  run([&]() -> Task<void> {
    const auto refused = co_await store.change([](SuperBlock& next) -> Result<void> {
      next.state = VolumeState::clean;
      return Error(Errc::read_only, "it is read-only by now");
    });
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(disk_.requests(), 0U);
    EXPECT_EQ(store.current(), layout_.super_block);
    const auto done = co_await store.change(set_state(VolumeState::dirty));
    EXPECT_TRUE(done.ok());
  });
}

TEST_F(SuperBlockStoreTest, NothingFollowsOneWhoseFateIsUnknownButWhatHoldsInAnyCase) {
  SuperBlockStore store(executor_, PbnDevice(disk_, 0), kPlace, layout_.super_block);
  run([&]() -> Task<void> {
    SimFault fault;
    fault.reads = fault.flushes = false;
    fault.count = 1;
    disk_.add_fault(fault);
    auto done = co_await store.change(set_state(VolumeState::clean));
    EXPECT_FALSE(done.ok());
    EXPECT_EQ(store.current(), layout_.super_block);
    done = co_await store.change(set_state(VolumeState::dirty));
    EXPECT_FALSE(done.ok());
    done = co_await store.change_past(disk_, set_state(VolumeState::read_only_mode));
    EXPECT_TRUE(done.ok());
  });
  EXPECT_EQ(on_disk()->state, VolumeState::read_only_mode);
}

}  // namespace
}  // namespace uvdo
