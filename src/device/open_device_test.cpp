// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/open_device.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/aligned_memory.h"
#include "base/testing/temporary_folder.h"
#include "device/blocking_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = 1U << 20U;

class OpenDeviceTest : public ::testing::Test {
 protected:
  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_.path("v.img");
};

TEST_F(OpenDeviceTest, AFileIsMadeWhereNothingIsAndNobodyElseHasIt) {
  EXPECT_EQ(*look_up_name(path_), NameOf::nothing);
  auto made = make_blocking_device(path_);
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_EQ((*made)->size(), 0U);
  EXPECT_EQ(*look_up_name(path_), NameOf::file);
  EXPECT_EQ(std::filesystem::status(path_).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(make_blocking_device(path_).error().code(), Errc::exists);
  EXPECT_EQ(open_blocking_device(path_, OpenMode::read_only).error().code(), Errc::busy);
  EXPECT_EQ(make_blocking_device(folder_.path("none/v.img")).error().code(), Errc::not_found);
  EXPECT_EQ(*look_up_name(folder_.path("")), NameOf::other);
}

TEST_F(OpenDeviceTest, ALockIsSeenAndLeftAlone) {
  EXPECT_FALSE(is_locked(path_, OpenMode::read_write)) << "nothing is there";
  {
    auto made = make_blocking_device(path_);
    ASSERT_TRUE(made.ok());
    EXPECT_TRUE(is_locked(path_, OpenMode::read_write));
    EXPECT_TRUE(is_locked(path_, OpenMode::read_only));
  }
  const auto reader = open_blocking_device(path_, OpenMode::read_only);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE(is_locked(path_, OpenMode::read_write));
  EXPECT_FALSE(is_locked(path_, OpenMode::read_only));
  EXPECT_TRUE(open_blocking_device(path_, OpenMode::read_only).ok());
}

TEST_F(OpenDeviceTest, AFileThatIsMadeAnewShowsNothingOfWhatItHeld) {
  std::ofstream(path_) << std::string(3 * kBlockSize, 'x');
  auto loop = UringLoop::create(64);
  ASSERT_TRUE(loop.ok());
  auto store = open_device(**loop, path_, OpenMode::read_write);
  ASSERT_TRUE(store.ok()) << store.error().message();
  ASSERT_TRUE((*store)->make_anew(kSize).ok());
  EXPECT_EQ((*store)->size(), kSize);
  const AlignedMemory block(kBlockSize);
  (*loop)->run([](Device& from, MutableBytes bytes) -> Task<void> {
    auto done = co_await from.read(0, bytes);
    EXPECT_TRUE(done.ok()) << done.error().message();
  }(**store, block.bytes()));
  EXPECT_EQ(block.bytes()[0], std::byte{0});
}

TEST_F(OpenDeviceTest, WhoWaitsWritesAnyNumberOfBytes) {
  auto made = make_blocking_device(path_);
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE((*made)->make_anew(kSize).ok());
  ASSERT_TRUE((*made)->take_room(kSize).ok());
  BlockingDevice device(std::move(*made));
  const std::array<std::byte, 3> written{std::byte{1}, std::byte{2}, std::byte{3}};
  ASSERT_TRUE(device.write(5, written).ok());
  ASSERT_TRUE(device.write_zeroes(kBlockSize, kBlockSize).ok());
  ASSERT_TRUE(device.flush().ok());
  std::array<std::byte, 3> read{};
  ASSERT_TRUE(device.read(5, read).ok());
  EXPECT_EQ(read, written);
  EXPECT_EQ(std::filesystem::file_size(path_), kSize);
}

}  // namespace
}  // namespace uvdo
