// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/device_activity.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(DeviceMeter, CountsRequestsAndTheTimeTheyTake) {
  DeviceMeter meter;
  EXPECT_EQ(meter.activity().busy_ns, 0U);
  meter.begin(Device::Op::read, 4096);
  meter.begin(Device::Op::write, 8192);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  DeviceActivity now = meter.activity();
  EXPECT_EQ(now.in_flight, 2U);
  EXPECT_GT(now.busy_ns, 5'000'000U);
  EXPECT_NEAR(static_cast<double>(now.waited_ns), static_cast<double>(now.busy_ns) * 2, 2e6)
      << "between the two there is next to no time";
  meter.end();
  meter.end();
  now = meter.activity();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(meter.activity().busy_ns, now.busy_ns) << "an idle device is not busy";
  EXPECT_EQ(now.in_flight, 0U);
  EXPECT_EQ(now.reads, 1U);
  EXPECT_EQ(now.read_bytes, 4096U);
  EXPECT_EQ(now.written_bytes, 8192U);
  meter.begin(Device::Op::flush, 0);
  meter.end();
  EXPECT_EQ(meter.activity().flushes, 1U);
}

}  // namespace
}  // namespace uvdo
