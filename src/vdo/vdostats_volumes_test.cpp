// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/vdostats_volumes.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace uvdo {
namespace {

namespace fs = std::filesystem;

class RunningVolumesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "uvdo-vdostats.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::ofstream(path("ublkb7")) << "a device";
    std::ofstream(path("v.img")) << "a volume";
    fs::create_directory(path("mapper"));
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  /// A server of v.img, with a device that has a link of its own.
  [[nodiscard]] RunningServer server() const {
    RunningServer made;
    made.hello.volume = path("v.img");
    AttachedDevice device;
    device.name = "archive";
    device.path = path("ublkb7");
    device.link = "/dev/uvdo/archive";
    made.devices.devices = {device};
    return made;
  }

  fs::path folder_;
};

TEST_F(RunningVolumesTest, OfTheKernelHasTheNamesOfItsMap) {
  const RunningVolume volume(MappedDevice{"vol1", makedev(253, 4)});
  EXPECT_EQ(volume.name(), "vol1");
  EXPECT_EQ(volume.path(), "/dev/mapper/vol1");
  for (const char* word : {"vol1", "/dev/mapper/vol1", "dm-4"}) EXPECT_TRUE(volume.is_called(word));
  for (const char* word : {"vol", "dm-5", "/dev/null", ""}) EXPECT_FALSE(volume.is_called(word));
}

TEST_F(RunningVolumesTest, OfUvdoHasTheNamesOfItsDeviceAndOfItsStorage) {
  const RunningVolume volume(server());
  EXPECT_EQ(volume.name(), "archive");
  EXPECT_EQ(volume.path(), "/dev/uvdo/archive");
  fs::create_symlink(path("v.img"), path("link"));
  for (const std::string& word : {std::string("archive"), std::string("/dev/uvdo/archive"),
                                  std::string("ublkb7"), path("ublkb7"), path("v.img")}) {
    EXPECT_TRUE(volume.is_called(word)) << word;
  }
  for (const std::string& word : {std::string("archive2"), path("other"), std::string()}) {
    EXPECT_FALSE(volume.is_called(word)) << word;
  }
}

TEST_F(RunningVolumesTest, ALinkInTheMappersFolderComesFirstWhateverItIsCalled) {
  RunningServer mapped = server();
  mapped.devices.devices.front().mapper_link = path("mapper/other");
  const RunningVolume volume(std::move(mapped));
  EXPECT_EQ(volume.path(), path("mapper/other"));
  for (const std::string& word : {std::string("other"), path("mapper/other")}) {
    EXPECT_TRUE(volume.is_called(word)) << word;
  }
  EXPECT_FALSE(RunningVolume(server()).is_called("other"));
}

TEST_F(RunningVolumesTest, WithoutADeviceHasThePathOfItsStorage) {
  RunningServer plain = server();
  plain.devices.devices.clear();
  const RunningVolume volume(std::move(plain));
  EXPECT_EQ(volume.name(), path("v.img"));
  EXPECT_EQ(volume.path(), path("v.img"));
}

TEST_F(RunningVolumesTest, AreFoundByTheNameInTheRegistryToo) {
  RunningVolumes running;
  running.volumes.emplace_back(server());
  const Registry registry(path("config"));
  EXPECT_EQ(find_running(running, "backup", registry), nullptr);
  fs::create_directories(path("config/volumes.d"));
  std::ofstream(registry.path_of("backup"))
      << "uuid = \"0f0e7a5c-1111-4222-8333-444455556666\"\nvolume = \"" << path("v.img") << "\"\n";
  const RunningVolume* found = find_running(running, "backup", registry);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name(), "archive");
  EXPECT_EQ(find_running(running, "ublkb7", registry), found);
}

}  // namespace
}  // namespace uvdo
