// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/named_volume.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"
#include "format/index_memory.h"
#include "format/uuid_text.h"
#include "manage/free_storage.h"
#include "registry/find_storage.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLogicalBytes = 64U << 20U;
constexpr std::uint64_t kFileSize = std::uint64_t{4} << 30U;  // sparse: room for the smallest index

class NamedVolumeTest : public ::testing::Test {
 protected:
  [[nodiscard]] CreateOptions options(const std::string& name) const {
    CreateOptions options;
    options.volume.name = name;
    options.format.path = folder_.path(name + ".img");
    options.format.file_bytes = kFileSize;
    options.format.request.slab_bits = 13;
    options.format.request.nonce = 7;
    options.format.request.uuid = random_uuid();
    options.format.request.index_memory = *parse_index_memory("0.25");
    options.format.request.logical_bytes = kLogicalBytes;
    return options;
  }
  NamedVolume make(const std::string& name) const {
    auto made = create_named_volume(registry_, options(name));
    EXPECT_TRUE(made.ok()) << made.error().message();
    return std::move(made->volume);
  }

  const testing::TemporaryFolder folder_;
  const Registry registry_{folder_.path("etc")};
};

TEST_F(NamedVolumeTest, ANamedVolumeIsNotOverwrittenByForce) {
  const NamedVolume first = make("a");
  CreateOptions again = options("b");
  again.format.path = first.storage;
  again.format.force = true;
  auto refused = create_named_volume(registry_, again);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Errc::exists);
  EXPECT_NE(refused.error().message().find("remove that first"), std::string::npos);
  EXPECT_EQ(*uuid_at(first.storage), first.uuid);
  ASSERT_TRUE(remove_named_volume(registry_, "a", {.keep_storage = true}).ok());
  EXPECT_TRUE(create_named_volume(registry_, again).ok()) << "it has no name any more";
}

TEST_F(NamedVolumeTest, OthersGoOnWhileAPersonIsAsked) {
  CreateOptions asking = options("a");
  asking.format.may_offer = [&](std::uint64_t, std::uint64_t) {
    EXPECT_TRUE(registry_.lock(LockPatience(std::chrono::milliseconds(1))).ok());
    return true;
  };
  EXPECT_TRUE(create_named_volume(registry_, asking).ok());
}

TEST_F(NamedVolumeTest, WhatCannotBeRegisteredIsTakenBack) {
  // Where a file was before, the file stays, without a volume.
  for (const bool was_there : {false, true}) {
    const std::string name = was_there ? "old" : "new";
    CreateOptions late = options(name);
    if (was_there) {
      std::ofstream(late.format.path) << "";
      fs::resize_file(late.format.path, late.format.file_bytes);
      late.format.file_bytes = 0;
    }
    late.format.last_check = [] { return Result<void>(); };
    // The folder of names becomes unusable when the volume is being made.
    late.format.may_offer = [&](std::uint64_t, std::uint64_t) {
      fs::create_directory(registry_.folder() + "/volumes.d/." + name + ".toml.new");
      return true;
    };
    auto made = create_named_volume(registry_, late);
    EXPECT_FALSE(made.ok());
    EXPECT_FALSE(registry_.has(name));
    EXPECT_EQ(fs::exists(late.format.path), was_there);
    if (was_there) {
      EXPECT_FALSE(uuid_at(late.format.path).ok());
    }
  }
}

TEST_F(NamedVolumeTest, WhatIsMissingIsForgottenByForceAlone) {
  const NamedVolume made = make("a");
  fs::remove(made.storage);
  auto refused = remove_named_volume(registry_, "a", {});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("--force"), std::string::npos);
  EXPECT_TRUE(registry_.has("a"));
  auto removed = remove_named_volume(registry_, "a", {.force = true});
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->storage, RemovedVolume::Storage::not_found);
}

TEST_F(NamedVolumeTest, OneOfTheCommandVdoIsNotRenamed) {
  CreateOptions wanted = options("a");
  wanted.volume.vdo.set("ackThreads", std::int64_t{1});
  ASSERT_TRUE(create_named_volume(registry_, wanted).ok());
  EXPECT_EQ(rename_named_volume(registry_, "a", "b").error().code(), Errc::unsupported);
  make("c");
  EXPECT_TRUE(rename_named_volume(registry_, "c", "d").ok());
}

TEST_F(NamedVolumeTest, FreesWhatItWasAskedToAndNothingElse) {
  const NamedVolume made = make("a");
  EXPECT_EQ(free_storage(made.storage, random_uuid(), FreedFile::removed).error().code(),
            Errc::busy);
  EXPECT_EQ(*uuid_at(made.storage), made.uuid);
  // By a link: the file is removed, which holds the volume, not what is called alike.
  const std::string link = folder_.path("link");
  fs::create_symlink(made.storage, link);
  EXPECT_EQ(*free_storage(link, made.uuid, FreedFile::removed), Freed::deleted);
  EXPECT_FALSE(fs::exists(made.storage));
}

}  // namespace
}  // namespace uvdo
