// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/replace_file.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

using uvdo::testing::TemporaryFolder;

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(ReplaceFile, MakesAndReplaces) {
  const TemporaryFolder folder;
  const std::string path = folder.path("file");
  ASSERT_TRUE(replace_file(path, "old", 0640));
  EXPECT_EQ(text_of(path), "old");
  ASSERT_TRUE(replace_file(path, "new", 0640));
  EXPECT_EQ(text_of(path), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(ReplaceFile, KeepsModeAndOwner) {
  const TemporaryFolder folder;
  const std::string path = folder.path("file");
  ASSERT_TRUE(replace_file(path, "old", 0644));
  ASSERT_EQ(chmod(path.c_str(), 0604), 0);
  const bool is_root = geteuid() == 0;
  if (is_root) {
    ASSERT_EQ(chown(path.c_str(), 12, 34), 0);
  }
  ASSERT_TRUE(replace_file(path, "new", 0644));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0604U);
  EXPECT_EQ(status.st_uid, is_root ? 12 : geteuid());
  if (is_root) {
    EXPECT_EQ(status.st_gid, 34U);
  }
}

TEST(ReplaceFile, DoesNotWriteThroughLinks) {
  const TemporaryFolder folder;
  const std::string path = folder.path("file");
  const std::string victim = folder.path("victim");
  std::ofstream(victim) << "precious";
  std::filesystem::create_symlink(victim, folder.path(".file.new"));
  std::filesystem::create_symlink(victim, path);
  ASSERT_TRUE(replace_file(path, "new", 0644));
  EXPECT_EQ(text_of(victim), "precious");
  EXPECT_EQ(text_of(path), "new");
  EXPECT_FALSE(std::filesystem::is_symlink(path));
}

TEST(ReplaceFile, LeavesTheOldOneAfterAnError) {
  const TemporaryFolder folder;
  const std::string path = folder.path("file");
  std::filesystem::create_directory(path);
  EXPECT_FALSE(replace_file(path, "new", 0644));
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_FALSE(replace_file(folder.path("none/file"), "new", 0644));
}

TEST(MakeFolders, MakesThoseThatAreMissing) {
  const TemporaryFolder folder;
  EXPECT_TRUE(make_folders(folder.path("a/b/c")));
  EXPECT_TRUE(std::filesystem::is_directory(folder.path("a/b/c")));
  EXPECT_TRUE(make_folders(folder.path("a/b/c")));
  std::ofstream(folder.path("file")) << "text";
  EXPECT_FALSE(make_folders(folder.path("file")));
  EXPECT_FALSE(make_folders(folder.path("file/a")));
}

}  // namespace
}  // namespace uvdo
