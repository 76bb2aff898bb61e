// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_mount.h"

#include <fstream>

#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

constexpr std::string_view kMounts =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "30 22 0:40 / /mnt/with\\040blank rw,nosuid shared:5 master:2 - fuse.uvdo uvdo rw,user_id=0\n"
    "31 22 0:41 / /mnt/twice rw - tmpfs tmpfs rw\n"
    "32 31 0:42 / /mnt/twice rw - fuse.uvdo uvdo rw\n"
    "garbage\n";

TEST(FuseMount, FindsWhatIsMountedByItsRealName) {
  const auto found = find_mount(kMounts, "/mnt/with blank");
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, (MountEntry{0, 40, "fuse.uvdo"}));
  EXPECT_FALSE(find_mount(kMounts, "/mnt/with"));
  EXPECT_FALSE(find_mount("", "/"));
}

TEST(FuseMount, TheMountOnTopCounts) { EXPECT_EQ(find_mount(kMounts, "/mnt/twice")->minor, 42U); }

TEST(FuseMount, AMountPointThatCannotBeIsRefusedWithTheReason) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder.path("file")) << "x";
  const auto message_for = [](const std::string& path) {
    FuseMount::Settings settings;
    settings.folder = path;
    const auto made = FuseMount::make(settings);
    return made ? std::string() : made.error().message();
  };
  EXPECT_NE(message_for(folder.path("none")).find("No such file"), std::string::npos);
  EXPECT_NE(message_for(folder.path("file")).find("is not a folder"), std::string::npos);
  EXPECT_NE(message_for(folder.path()).find("is not empty"), std::string::npos);
  EXPECT_NE(message_for("/proc").find("something is mounted"), std::string::npos);
}

TEST(FuseMount, WhereNothingIsMountedNothingRemains) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(unmount_remains(folder.path()).ok());
  EXPECT_TRUE(unmount_remains(folder.path("a/b")).ok());
  EXPECT_TRUE(unmount_remains("/proc").ok()) << "it is none of ours";
  EXPECT_FALSE(FuseMount::adopt(folder.path()).ok());
}

}  // namespace
}  // namespace uvdo
