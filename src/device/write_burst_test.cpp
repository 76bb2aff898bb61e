// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/write_burst.h"

#include <cstring>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "device/sim_device.h"

namespace uvdo {
namespace {

constexpr std::size_t kBlocks = 200;
constexpr std::size_t kAtOnce = 64;

class WriteBurstTest : public ::testing::Test {
 protected:
  WriteBurstTest() : data_(kBlocks * kBlockSize) {
    for (std::size_t i = 0; i < kBlocks; ++i) {
      std::memset(data_.block(i).data(), static_cast<int>(i + 1), kBlockSize);
    }
  }
  Task<void> write_all() {
    WriteBurst burst(executor_, PbnDevice(device_, 3));
    for (std::size_t i = 0; i < kBlocks; ++i) burst.write(Pbn{i + 3}, data_.block(i));
    EXPECT_EQ(device_.count_of(Device::Op::write), kAtOnce);
    done_ = co_await burst.wait();
    EXPECT_EQ(device_.count_of(Device::Op::write), kBlocks);
  }
  Task<void> expect_content(std::size_t but) {
    const AlignedMemory got(kBlocks * kBlockSize);
    const auto read = co_await device_.read(0, got.bytes());
    EXPECT_TRUE(read.ok());
    for (std::size_t i = 0; i < kBlocks; ++i) {
      if (i == but) continue;
      EXPECT_EQ(std::memcmp(got.block(i).data(), data_.block(i).data(), kBlockSize), 0) << i;
    }
  }
  Task<void> write_all_and_look(std::size_t but) {
    co_await write_all();
    co_await expect_content(but);
  }
  void run(std::size_t but) {
    const auto outcome = executor_.run(write_all_and_look(but));
    EXPECT_TRUE(outcome.finished) << outcome.why;
  }

  SimExecutor executor_{{.seed = 5}};
  SimDevice device_{executor_, kBlocks* kBlockSize, {.instant_one_in = 0}};
  AlignedMemory data_;
  Result<void> done_;
};

TEST_F(WriteBurstTest, WritesAllAndNotTooManyAtOnce) {
  run(kBlocks);
  EXPECT_TRUE(done_.ok());
}

TEST_F(WriteBurstTest, TellsOfAFailureAndWritesTheRest) {
  SimFault fault;
  fault.begin = 7 * kBlockSize;
  fault.end = 8 * kBlockSize;
  fault.reads = false;
  device_.add_fault(fault);
  run(7);
  EXPECT_FALSE(done_.ok());
}

}  // namespace
}  // namespace uvdo
