// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_folder.h"

#include <cerrno>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace uvdo {
namespace {

constexpr std::uint64_t kNow = 1'700'000'000'123'456;

FuseFolder folder() { return {"data.img", {7, 8}, 0640, kNow}; }

TEST(FuseFolder, HasOneFileOfTheVolumesSize) {
  FuseFolder shown = folder();
  EXPECT_EQ(shown.find("data.img"), fuse::kFileNode);
  EXPECT_FALSE(shown.find("other"));
  const auto file = shown.attributes(fuse::kFileNode, 1 << 20, kNow);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->size, 1U << 20U);
  EXPECT_EQ(file->mode, unsigned{S_IFREG} | 0640U);
  EXPECT_EQ(file->uid, 7U);
  EXPECT_EQ(file->gid, 8U);
  const auto root = shown.attributes(fuse::kRootNode, 1 << 20, kNow);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->mode, unsigned{S_IFDIR} | 0750U);
  EXPECT_FALSE(shown.attributes(99, 1 << 20, kNow));
}

TEST(FuseFolder, LooksAsIfItHadHolesSoThatThoseWhoCopyAskForThem) {
  FuseFolder shown = folder();
  for (const std::uint64_t size : {std::uint64_t{4096}, std::uint64_t{1} << 40U}) {
    const auto file = shown.attributes(fuse::kFileNode, size, kNow);
    EXPECT_LT(file->blocks * 512, size);
    EXPECT_GT(file->blocks, 0U);
  }
}

TEST(FuseFolder, AChangeIsDatedWhenItIsAskedFor) {
  FuseFolder shown = folder();
  constexpr std::uint64_t kLater = kNow + 5'000'000;
  EXPECT_EQ(shown.attributes(fuse::kFileNode, 4096, kLater)->mtime, kNow / 1'000'000);
  shown.note_change();
  EXPECT_EQ(shown.attributes(fuse::kFileNode, 4096, kLater)->mtime, kLater / 1'000'000);
  EXPECT_EQ(shown.attributes(fuse::kFileNode, 4096, kLater + 9'000'000)->mtime, kLater / 1'000'000);
}

TEST(FuseFolder, EntriesGoOnWhereTheLastReadEnded) {
  const FuseFolder shown = folder();
  std::string names;
  std::uint64_t offset = 0;
  for (;;) {
    const auto bytes = shown.entries(offset, 40);  // room for one
    if (bytes.empty()) break;
    ASSERT_EQ(bytes.size() % 8, 0U);
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data() + offsetof(fuse_dirent, namelen), sizeof length);
    std::memcpy(&offset, bytes.data() + offsetof(fuse_dirent, off), sizeof offset);
    names.append(reinterpret_cast<const char*>(bytes.data() + FUSE_NAME_OFFSET), length) += ' ';
  }
  EXPECT_EQ(names, ". .. data.img ");
  EXPECT_TRUE(shown.entries(UINT64_MAX, 4096).empty());
  EXPECT_GT(shown.entries(0, 4096).size(), 80U);
}

TEST(FuseFolder, NamesThatNoFileCanHaveAreRefused) {
  EXPECT_EQ(check_file_name("volume"), 0);
  for (const std::string_view name : {"", ".", "..", "a/b"})
    EXPECT_EQ(check_file_name(name), EINVAL);
  EXPECT_EQ(check_file_name(std::string(256, 'x')), ENAMETOOLONG);
}

}  // namespace
}  // namespace uvdo
