// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/mount_table.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace uvdo {
namespace {

TEST(MountTable, KnowsPlacesByTheirRealNames) {
  const auto mounts = parse_mounts(
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "30 22 0:40 / /mnt/with\\040blank rw shared:5 master:2 - fuse.uvdo uvdo rw,user_id=0\n"
      "garbage\n"
      "31 22 0:41 / /mnt rw\n"
      "32 22 7:300 /sub /mnt/a\\134b rw - xfs /dev/loop300 rw\n");
  ASSERT_EQ(mounts.size(), 3U);
  EXPECT_EQ(mounts[0], (MountEntry{makedev(8, 1), "/", "ext4", "/dev/sda1"}));
  EXPECT_EQ(mounts[1], (MountEntry{makedev(0, 40), "/mnt/with blank", "fuse.uvdo", "uvdo"}));
  EXPECT_EQ(mounts[2], (MountEntry{makedev(7, 300), "/mnt/a\\b", "xfs", "/dev/loop300"}));
}

TEST(MountTable, ThisMachineHasARoot) {
  bool has_root = false;
  for (const MountEntry& mount : mounts_now()) has_root = has_root || mount.place == "/";
  EXPECT_TRUE(has_root);
  EXPECT_TRUE(mounts_now("/nonexistent").empty());
}

}  // namespace
}  // namespace uvdo
