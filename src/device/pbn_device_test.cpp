// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/pbn_device.h"

#include <cstring>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "base/aligned_memory.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

TEST(PbnDevice, FindsTheBlocksOfAVolumeThatDoesNotBeginAtBlock0) {
  SimExecutor executor({.seed = 1});
  auto memory = std::move(*MemoryDevice::create(8 * kBlockSize));
  const auto outcome = executor.run([](Device& device, MutableBytes all) -> Task<void> {
    const PbnDevice blocks(device, 100);
    const AlignedMemory data(2 * kBlockSize);
    std::memset(data.data(), 7, data.size());
    auto done = co_await blocks.write(Pbn{103}, data.bytes());
    EXPECT_TRUE(done.ok());
    EXPECT_EQ(all[3 * kBlockSize - 1], std::byte{0});
    EXPECT_EQ(all[3 * kBlockSize], std::byte{7});
    EXPECT_EQ(all[5 * kBlockSize - 1], std::byte{7});
    EXPECT_EQ(all[5 * kBlockSize], std::byte{0});
    done = co_await blocks.write_zeroes(Pbn{104}, 1);
    EXPECT_TRUE(done.ok());
    done = co_await blocks.read(Pbn{103}, data.bytes());
    EXPECT_TRUE(done.ok());
    EXPECT_EQ(data.data()[0], std::byte{7});
    EXPECT_EQ(data.data()[kBlockSize], std::byte{0});
  }(*memory, memory->bytes()));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

}  // namespace
}  // namespace uvdo
