// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/machine_memory.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

class MachineMemoryTest : public ::testing::Test {
 protected:
  MachineMemoryTest()
      : root_(::testing::TempDir() + "uvdo-machine-memory-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
    put("/proc/meminfo", "MemTotal:  2000 kB\nMemAvailable:   1000 kB\n");
  }
  ~MachineMemoryTest() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) const {
    const std::filesystem::path whole = root_ + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  std::string root_;
};

TEST_F(MachineMemoryTest, IsWhatTheMachineHasFree) {
  EXPECT_EQ(available_memory(root_).bytes, 1000U * 1024);
  put("/proc/self/cgroup", "0::/x\n");
  put("/sys/fs/cgroup/x/memory.max", "max\n");
  put("/sys/fs/cgroup/x/memory.current", "5\n");
  EXPECT_EQ(available_memory(root_).bytes, 1000U * 1024);
}

TEST_F(MachineMemoryTest, AControlGroupMayAllowLess) {
  put("/proc/self/cgroup", "1:cpu:/\n0::/x\n");
  put("/sys/fs/cgroup/x/memory.max", "700000\n");
  put("/sys/fs/cgroup/x/memory.current", "500000\n");
  put("/sys/fs/cgroup/x/memory.stat", "anon 1\ninactive_file 100000\n");
  const MachineMemory memory = available_memory(root_);
  EXPECT_EQ(memory.bytes, 300000U);
  EXPECT_NE(memory.limit.find("control group"), std::string::npos);
}

TEST_F(MachineMemoryTest, KnowsTheOldControlGroupsToo) {
  put("/proc/self/cgroup", "4:memory:/y\n");
  put("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "1000\n");
  put("/sys/fs/cgroup/memory/y/memory.usage_in_bytes", "4000\n");
  EXPECT_EQ(available_memory(root_).bytes, 0U);
}

TEST_F(MachineMemoryTest, WhatAProcessHasAlreadyIsWithinItsReach) {
  put("/proc/self/status", "Name:\tuvdo\nVmRSS:\t     200 kB\n");
  EXPECT_EQ(memory_within_reach(root_).bytes, 1200U * 1024);
  put("/proc/self/cgroup", "0::/x\n");
  put("/sys/fs/cgroup/x/memory.max", "700000\n");
  put("/sys/fs/cgroup/x/memory.current", "500000\n");
  EXPECT_EQ(memory_within_reach(root_).bytes, 200000U + 200U * 1024);
}

TEST_F(MachineMemoryTest, ThisMachineHasSome) { EXPECT_GT(available_memory().bytes, 1U << 20U); }

}  // namespace
}  // namespace uvdo
