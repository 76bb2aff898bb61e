// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_mount.h"

#include <fstream>

#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

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
