// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_name.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace uvdo {
namespace {

TEST(BackingName, APathIsAPath) {
  for (const char* name : {"v.img", "/dev/disk/by-id/x", "a:b", "1:", ":2", "1:2:3", "8:0x"}) {
    EXPECT_EQ(*backing_store_path(name), name);
  }
}

TEST(BackingName, AFileOfThatNameComesFirst) {
  const auto folder = std::filesystem::temp_directory_path() / "uvdo-backing-name-test";
  std::filesystem::create_directories(folder);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  std::ofstream("9999:7") << "x";
  EXPECT_EQ(*backing_store_path("9999:7"), "9999:7");
  std::filesystem::current_path(before);
  std::filesystem::remove_all(folder);
}

TEST(BackingName, ANumberOfNoDeviceIsToldWithACure) {
  const auto path = backing_store_path("4000:99999");
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code(), Errc::not_found);
  EXPECT_THAT(path.error().message(), ::testing::HasSubstr("lsblk"));
}

TEST(BackingName, FindsTheDevicesOfThisMachine) {
  for (const auto& entry : std::filesystem::directory_iterator("/sys/dev/block")) {
    const auto path = backing_store_path(entry.path().filename());
    if (!path.ok()) continue;  // in a container there may be no node for it
    struct stat status {};
    ASSERT_EQ(stat(path->c_str(), &status), 0);
    EXPECT_TRUE(S_ISBLK(status.st_mode));
  }
}

}  // namespace
}  // namespace uvdo
