// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/entrance.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "volume/testing/entrance_bench.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocks = 100;

class EntranceTest : public ::testing::Test {
 protected:
  static SuperBlock super_block() {
    SuperBlock block;
    block.config.logical_blocks = kBlocks;
    return block;
  }

  SimExecutor executor{{.seed = 1}};
  std::unique_ptr<MemoryDevice> device = std::move(*MemoryDevice::create(1U << 20U));
  ReadOnlyNotifier notifier;
  testing::EntranceBench bench{executor, *device, notifier, super_block()};
  Entrance& entrance = bench.entrance;
};

TEST_F(EntranceTest, RangesEndWhereTheVolumeDoes) {
  EXPECT_EQ(entrance.size(), kBlocks * kBlockSize);
  EXPECT_TRUE(entrance.check_range(0, kBlocks * kBlockSize).ok());
  EXPECT_TRUE(entrance.check_range(kBlocks * kBlockSize, 0).ok());
  EXPECT_FALSE(entrance.check_range(kBlocks * kBlockSize - 1, 2).ok());
  EXPECT_FALSE(entrance.check_range(UINT64_MAX, 2).ok());
}

TEST_F(EntranceTest, InReadOnlyModeAWriteIsRefusedAndCounted) {
  EXPECT_TRUE(entrance.check_writable().ok());
  notifier.enter(Error(Errc::io, "the disk has failed"));
  EXPECT_EQ(entrance.check_writable().error().code(), Errc::io);
  EXPECT_EQ(bench.errors.read_only_error_count, 1U);
}

TEST_F(EntranceTest, AVolumeThatEndsRefusesWithoutCountingAnError) {
  bench.life.enter(VolumeLife::Stage::in_use);
  bench.life.enter(VolumeLife::Stage::leaving);
  EXPECT_TRUE(entrance.check_writable().ok());
  bench.life.enter(VolumeLife::Stage::stopping);
  EXPECT_EQ(entrance.check_writable().error().code(), Errc::cancelled);
  EXPECT_EQ(bench.errors.read_only_error_count, 0U);
}

}  // namespace
}  // namespace uvdo
