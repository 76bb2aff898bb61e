// SPDX-License-Identifier: GPL-2.0-or-later
// What needs no device-mapper; the rest is tested with the kernel's
// (tests/kernel/test_vdostats.py).
#include "device/mapped_devices.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(MappedDevices, AreNoneWhereTheKernelHasNoDeviceMapper) {
  const auto devices = mapped_devices("vdo", "/nowhere/mapper/control");
  ASSERT_TRUE(devices);
  EXPECT_TRUE(devices->empty());
}

TEST(MappedDevices, WhoCannotBeAskedIsAnError) {
  const auto devices = mapped_devices("vdo", "/dev/null");  // answers no such requests
  ASSERT_FALSE(devices);
  EXPECT_NE(devices.error().message().find("listing the device-mapper's devices"),
            std::string::npos);
  const auto answer = send_target_message({"v", 1}, "stats", "/dev/null");
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message().find("\"stats\" to v"), std::string::npos);
  EXPECT_FALSE(send_target_message({"v", 1}, "stats", "/nowhere/mapper/control"));
}

}  // namespace
}  // namespace uvdo
