// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/find_storage.h"

#include <array>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/block_types.h"
#include "base/testing/temporary_folder.h"
#include "format/uuid_text.h"
#include "format/volume_geometry.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

class FindStorage : public ::testing::Test {
 protected:
  FindStorage() {
    volume_.name = "v";
    volume_.uuid = random_uuid();
    volume_.storage = folder_.path("v.img");
  }
  /// A file that begins as a volume with that UUID does.
  static void make(const std::string& path, const Uuid& uuid) {
    VolumeGeometry geometry;
    geometry.uuid = uuid;
    geometry.data_start = Pbn(100);
    geometry.index_memory = *parse_index_memory("0.25");
    std::array<std::byte, kBlockSize> block{};
    encode_volume_geometry(geometry, block);
    std::ofstream(path).write(reinterpret_cast<const char*>(block.data()), block.size());
  }

  testing::TemporaryFolder folder_;
  NamedVolume volume_;
};

TEST_F(FindStorage, IsWhereItWasRecorded) {
  make(volume_.storage, volume_.uuid);
  EXPECT_EQ(*uuid_at(volume_.storage), volume_.uuid);
  auto found = find_storage(volume_);
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->path, volume_.storage);
  EXPECT_FALSE(found->has_moved);
}

TEST_F(FindStorage, IsFoundUnderAnotherNameInItsFolder) {
  make(folder_.path("other.img"), volume_.uuid);
  // Another volume in its place is not taken for it, nor are other files.
  make(volume_.storage, random_uuid());
  std::ofstream(folder_.path("text")) << "short\n";
  auto found = find_storage(volume_);
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->path, folder_.path("other.img"));
  EXPECT_TRUE(found->has_moved);
}

TEST_F(FindStorage, IsNotGuessedAmongCopies) {
  make(folder_.path("a"), volume_.uuid);
  make(folder_.path("b"), volume_.uuid);
  auto found = find_storage(volume_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), Errc::exists);
  // Two names of one file are no copies.
  fs::remove(folder_.path("b"));
  fs::create_hard_link(folder_.path("a"), folder_.path("c"));
  EXPECT_TRUE(find_storage(volume_).ok());
}

TEST_F(FindStorage, IsNotWhereOthersCanPutFiles) {
  const std::string shared = folder_.path("shared");
  fs::create_directory(shared);
  volume_.storage = shared + "/v.img";
  make(shared + "/other", volume_.uuid);
  EXPECT_TRUE(find_storage(volume_).ok());
  fs::permissions(shared, fs::perms::all | fs::perms::sticky_bit);
  EXPECT_EQ(find_storage(volume_).error().code(), Errc::not_found);
  fs::permissions(shared, fs::perms::owner_all);
  fs::permissions(shared + "/other", fs::perms::all);
  EXPECT_EQ(find_storage(volume_).error().code(), Errc::not_found);
  if (geteuid() != 0) return;
  fs::permissions(shared + "/other", fs::perms::owner_all);
  ASSERT_EQ(chown((shared + "/other").c_str(), 12, 12), 0);
  EXPECT_EQ(find_storage(volume_).error().code(), Errc::not_found);
}

TEST_F(FindStorage, IsMissedWithTheWayToTellWhereItIs) {
  auto found = find_storage(volume_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), Errc::not_found);
  EXPECT_NE(found.error().message().find("uvdo modify v --storage PATH"), std::string::npos);
}

TEST_F(FindStorage, TellsWhatHoldsNoVolume) {
  std::ofstream(folder_.path("text")) << "short\n";
  EXPECT_EQ(uuid_at(folder_.path("text")).error().code(), Errc::not_found);
  EXPECT_EQ(uuid_at(folder_.path()).error().code(), Errc::invalid_argument);
  EXPECT_EQ(lasting_path(folder_.path("x/../text")), folder_.path("text"));
}

}  // namespace
}  // namespace uvdo
