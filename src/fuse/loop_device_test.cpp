// SPDX-License-Identifier: GPL-2.0-or-later
// Real loop devices on a file in a folder of the test; where there are none the tests say so.
#include "fuse/loop_device.h"

#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/file_descriptor.h"
#include "base/testing/temporary_folder.h"

namespace uvdo {
namespace {

class LoopDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root makes loop devices";
    if (access("/dev/loop-control", R_OK | W_OK) != 0) GTEST_SKIP() << "there are no loop devices";
    settings_.file = folder_.path("file");
    resize(kSize);
  }
  void TearDown() override {
    for (const LoopDevice& device : LoopDevice::find(settings_.file)) {
      EXPECT_TRUE(device.detach(LoopDevice::InUse::later).ok());
    }
  }
  void resize(std::uint64_t size) {
    const FileDescriptor fd(open(settings_.file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  }
  static std::uint64_t size_of(const LoopDevice& device) {
    const FileDescriptor fd(open(device.path().c_str(), O_RDONLY | O_CLOEXEC));
    std::uint64_t size = 0;
    return ioctl(fd.get(), BLKGETSIZE64, &size) == 0 ? size : 0;
  }

  static constexpr std::uint64_t kSize = 1 << 20;
  testing::TemporaryFolder folder_;
  LoopDevice::Settings settings_;
};

TEST_F(LoopDeviceTest, IsFoundByItsFileUntilItIsDetached) {
  const auto device = LoopDevice::attach(settings_);
  ASSERT_TRUE(device.ok()) << device.error().message();
  EXPECT_TRUE(device->is_attached());
  EXPECT_TRUE(device->is_past_page_cache());
  EXPECT_GT(device->largest_discard(), 0U);
  EXPECT_EQ(size_of(*device), kSize);
  const auto found = LoopDevice::find(settings_.file);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().path(), device->path());

  const auto detached = device->detach(LoopDevice::InUse::refuse);
  ASSERT_TRUE(detached.ok()) << detached.error().message();
  EXPECT_EQ(*detached, LoopDevice::Detached::now);
  EXPECT_FALSE(device->is_attached());
  EXPECT_TRUE(LoopDevice::find(settings_.file).empty());
  // Another may have the number by now: it is left alone.
  EXPECT_TRUE(device->detach(LoopDevice::InUse::later).ok());
  EXPECT_FALSE(device->update_size().ok());
}

TEST_F(LoopDeviceTest, StaysAsItIsWhileItIsInUse) {
  const auto device = LoopDevice::attach(settings_);
  ASSERT_TRUE(device.ok()) << device.error().message();
  {
    const FileDescriptor user(open(device->path().c_str(), O_RDONLY | O_CLOEXEC));
    const auto refused = device->detach(LoopDevice::InUse::refuse);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Errc::busy);
  }
  EXPECT_TRUE(device->is_attached()) << "it does not go with its last user either";
  {
    const FileDescriptor user(open(device->path().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    EXPECT_FALSE(device->detach(LoopDevice::InUse::refuse).ok());
    const auto later = device->detach(LoopDevice::InUse::later);
    ASSERT_TRUE(later.ok());
    EXPECT_EQ(*later, LoopDevice::Detached::later);
  }
  for (int i = 0; i < 100 && device->is_attached(); ++i) usleep(10'000);
  EXPECT_FALSE(device->is_attached());
}

TEST_F(LoopDeviceTest, GrowsWithItsFile) {
  const auto device = LoopDevice::attach(settings_);
  ASSERT_TRUE(device.ok()) << device.error().message();
  resize(3 * kSize);
  EXPECT_EQ(size_of(*device), kSize);
  ASSERT_TRUE(device->update_size().ok());
  EXPECT_EQ(size_of(*device), 3 * kSize);
}

TEST_F(LoopDeviceTest, ReadOnlyAndBlockSizeAreAsAskedFor) {
  settings_.read_only = true;
  settings_.block_size = 512;
  const auto device = LoopDevice::attach(settings_);
  ASSERT_TRUE(device.ok()) << device.error().message();
  const FileDescriptor fd(open(device->path().c_str(), O_RDONLY | O_CLOEXEC));
  int is_read_only = 0;
  int block_size = 0;
  ASSERT_EQ(ioctl(fd.get(), BLKROGET, &is_read_only), 0);
  ASSERT_EQ(ioctl(fd.get(), BLKSSZGET, &block_size), 0);
  EXPECT_EQ(is_read_only, 1);
  EXPECT_EQ(block_size, 512);
}

TEST_F(LoopDeviceTest, AFileThatIsNotThereIsNamed) {
  settings_.file = folder_.path("none");
  const auto device = LoopDevice::attach(settings_);
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code(), Errc::not_found);
  EXPECT_NE(device.error().message().find(settings_.file), std::string::npos);
}

}  // namespace
}  // namespace uvdo
