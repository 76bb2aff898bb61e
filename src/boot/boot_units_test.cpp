// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/boot_units.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "boot/generator.h"
#include "boot/unit_name.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Uuid some_uuid() {
  Uuid uuid{};
  uuid[0] = std::byte{0x0f};
  uuid[15] = std::byte{0x01};
  return uuid;
}
constexpr const char* kUuidText = "0f000000-0000-0000-0000-000000000001";

NamedVolume volume_at(const std::string& storage) {
  NamedVolume volume;
  volume.name = "my-archive";
  volume.uuid = some_uuid();
  volume.storage = storage;
  volume.serve = {{"attach", std::vector<std::string>{"auto"}}};
  return volume;
}

BootUnits units_of(const NamedVolume& volume) {
  auto units =
      boot_units_of(volume, "/etc/uvdo/volumes.d/" + volume.name + ".toml", "/usr/bin/uvdo");
  EXPECT_TRUE(units.ok());
  return units ? *std::move(units) : BootUnits();
}

std::vector<std::string> links_of(const BootUnits& units) {
  std::vector<std::string> paths;
  std::ranges::transform(units.links, std::back_inserter(paths), &UnitLink::path);
  return paths;
}

TEST(UnitName, IsTheVolumesWhereThatCanBe) {
  EXPECT_EQ(service_unit_of("my-archive_1.2"), "uvdo@my-archive_1.2.service");
  EXPECT_EQ(service_unit_of("a+b"), "uvdo@a\\x2bb.service");
}

TEST(UnitName, HasPathsEscapedAsSystemdDoes) {
  EXPECT_EQ(unit_word_of_path("/dev/uvdo/my-archive"), "dev-uvdo-my\\x2darchive");
  EXPECT_EQ(unit_word_of_path("/dev/disk/by-uuid/0f-1"), "dev-disk-by\\x2duuid-0f\\x2d1");
  EXPECT_EQ(unit_word_of_path("/.a/b.c"), "\\x2ea-b.c");
}

TEST(BootUnits, OfAFileNeedItsFolderMounted) {
  const BootUnits units = units_of(volume_at("/var/lib/100%/a.vdo"));
  ASSERT_EQ(units.files.size(), 3U);
  EXPECT_EQ(units.files[0].path, "uvdo@my-archive.service.d/50-volume.conf");
  EXPECT_THAT(units.files[0].text, HasSubstr("RequiresMountsFor=\"/var/lib/100%%/a.vdo\"\n"));
  EXPECT_THAT(units.files[0].text, Not(HasSubstr(".device")));
  EXPECT_THAT(units.files[1].text, HasSubstr("ReadWritePaths=\"-/var/lib/100%%\"\n"));
  EXPECT_THAT(links_of(units),
              ElementsAre("uvdo.target.wants/uvdo@my-archive.service",
                          "dev-uvdo-my\\x2darchive.device.wants/uvdo@my-archive.service"));
}

TEST(BootUnits, OfAUriNeedTheNetwork) {
  const BootUnits units = units_of(volume_at("nbd://host/export"));
  EXPECT_THAT(units.files[0].text, HasSubstr("After=network-online.target\n"));
  EXPECT_THAT(units.files[0].text, Not(HasSubstr("RequiresMountsFor")));
  EXPECT_THAT(units.files[1].text, Not(HasSubstr("ReadWritePaths")));
}

TEST(BootUnits, OfADiskWaitForItByItsUuid) {
  const BootUnits units = units_of(volume_at("/dev/disk/by-id/ata-x"));
  ASSERT_EQ(units.files.size(), 2U);
  EXPECT_THAT(units.files[0].text,
              HasSubstr("Requires=dev-disk-by\\x2duuid-0f000000\\x2d0000\\x2d0000\\x2d0000\\x2d"
                        "000000000001.device\n"));
  EXPECT_THAT(units.files[0].text, Not(HasSubstr("RequiresMountsFor")));
  EXPECT_THAT(links_of(units), testing::Contains(std::string("uvdo-disk@") + kUuidText +
                                                 ".target.wants/uvdo@my-archive.service"));
}

TEST(BootUnits, GiveARecoveryTheTimeThatItTakes) {
  const BootUnits units = units_of(volume_at("/dev/disk/by-id/ata-x"));
  EXPECT_EQ(units.files.back().path, "dev-uvdo-my\\x2darchive.device.d/40-uvdo.conf");
  EXPECT_EQ(units.files.back().text, "[Unit]\nJobRunningTimeoutSec=5min\n");
}

TEST(BootUnits, OfAMappedDeviceWaitForItByItsName) {
  const BootUnits units = units_of(volume_at("/dev/mapper/vg-pool_vdata"));
  EXPECT_THAT(units.files[0].text, HasSubstr("Requires=dev-mapper-vg\\x2dpool_vdata.device\n"));
}

TEST(BootUnits, OfAPoolOfLvmNeedNoMapAsTheirServerMakesIt) {
  NamedVolume volume = volume_at("/dev/mapper/uvdo-vg-pool");
  volume.lvm_pool = "vg/pool";
  const std::string text = units_of(volume).files[0].text;
  EXPECT_THAT(text, Not(HasSubstr("Requires=")));
  EXPECT_THAT(text, HasSubstr("After=systemd-udev-settle.service lvm2-monitor.service\n"));
}

TEST(BootUnits, HaveNoDirectivesOfAPath) {
  EXPECT_FALSE(
      boot_units_of(volume_at("/srv/a\nExecStart=/bin/x"), "/etc/a.toml", "/usr/bin/uvdo"));
  EXPECT_FALSE(boot_units_of(volume_at("/srv/a"), "/etc/a\nx.toml", "/usr/bin/uvdo"));
}

TEST(BootUnits, NameTheVolumeWhereTheInstanceIsEscaped) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  volume.name = "a+b";
  const BootUnits units = units_of(volume);
  EXPECT_EQ(units.files[1].path, "uvdo-nbd@a\\x2bb.service.d/50-volume.conf");
  EXPECT_THAT(units.files[1].text,
              HasSubstr("ExecStart=\nExecStart=/usr/bin/uvdo serve a+b --user uvdo\n"));
}

TEST(BootUnits, OrderMountsOfTheDeviceBehindTheServer) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  volume.serve.set("device-name", std::string("other"));
  volume.serve.set("mapper-name", std::string("my-archive"));
  const BootUnits units = units_of(volume);
  EXPECT_THAT(units.files[0].text, HasSubstr("Before=blockdev@dev-uvdo-other.target\n"));
  EXPECT_THAT(units.files[0].text, HasSubstr("Before=blockdev@dev-mapper-my\\x2darchive.target\n"));
  EXPECT_THAT(links_of(units), ElementsAre("uvdo.target.wants/uvdo@my-archive.service",
                                           "dev-uvdo-other.device.wants/uvdo@my-archive.service",
                                           "dev-mapper-my\\x2darchive.device.wants/"
                                           "uvdo@my-archive.service"));
}

TEST(BootUnits, KnowTheNamesOfSeveralDevices) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  volume.serve = {{"attach", std::vector<std::string>{"ublk", "nbd,name=a,read-only", "nbd"}}};
  EXPECT_THAT(links_of(units_of(volume)),
              ElementsAre("uvdo.target.wants/uvdo@my-archive.service",
                          "dev-uvdo-my\\x2darchive.device.wants/uvdo@my-archive.service",
                          "dev-uvdo-a.device.wants/uvdo@my-archive.service"));
  volume.serve = {{"attach", std::vector<std::string>{"ublk,name=a", "nbd"}}};
  EXPECT_THAT(links_of(units_of(volume)),
              ElementsAre("uvdo.target.wants/uvdo@my-archive.service",
                          "dev-uvdo-a.device.wants/uvdo@my-archive.service"));
}

TEST(BootUnits, WantTheDriversOfTheirDevices) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  volume.serve = {{"attach", std::vector<std::string>{"nbd"}}};
  EXPECT_THAT(units_of(volume).files[0].text, HasSubstr("Wants=modprobe@nbd.service\n"));
  volume.serve = {{"attach", std::vector<std::string>{"fuse"}}};
  EXPECT_THAT(units_of(volume).files[0].text,
              HasSubstr("Wants=modprobe@fuse.service modprobe@loop.service\n"));
}

TEST(BootUnits, OfAVolumeWithoutADeviceWaitForNone) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  volume.serve = {{"nbd", std::vector<std::string>{"unix:/run/a.sock"}}};
  const BootUnits units = units_of(volume);
  EXPECT_THAT(units.files[0].text, Not(HasSubstr("blockdev@")));
  EXPECT_THAT(links_of(units), ElementsAre("uvdo.target.wants/uvdo@my-archive.service"));
}

TEST(BootUnits, OfADeactivatedVolumeStartNothing) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  volume.is_activated = false;
  const BootUnits units = units_of(volume);
  EXPECT_FALSE(units.files.empty());
  EXPECT_TRUE(units.links.empty());
}

TEST(BootUnits, GiveTheServerANameThatAUnitCannotHold) {
  NamedVolume volume = volume_at("/srv/a.vdo");
  EXPECT_THAT(units_of(volume).files[0].text, Not(HasSubstr("ExecStart")));
  volume.name = "a+b";
  EXPECT_THAT(units_of(volume).files[0].text,
              HasSubstr("ExecStart=\nExecStart=/usr/bin/uvdo serve a+b\n"));
}

class GeneratorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string draft = (fs::temp_directory_path() / "uvdo-generator.XXXXXX").string();
    ASSERT_NE(mkdtemp(draft.data()), nullptr);
    folder_ = draft;
    fs::create_directories(folder_ / "etc/volumes.d");
    fs::create_directories(folder_ / "units");
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<void> generate() {
    return generate_units(Registry((folder_ / "etc").string()), "/usr/bin/uvdo",
                          (folder_ / "units").string());
  }
  void add(const std::string& name) {
    const Registry registry((folder_ / "etc").string());
    auto lock = registry.lock();
    ASSERT_TRUE(lock);
    NamedVolume volume = volume_at("/srv/" + name + ".vdo");
    volume.name = name;
    volume.uuid[1] = static_cast<std::byte>(name.front());
    ASSERT_TRUE(registry.add(volume, *lock));
  }
  fs::path folder_;
};

TEST_F(GeneratorTest, WritesUnitsOfAllVolumes) {
  add("one");
  add("two");
  ASSERT_TRUE(generate());
  for (const char* name : {"one", "two"}) {
    EXPECT_TRUE(fs::exists(folder_ / "units" / service_unit_of(name) += ".d/50-volume.conf"));
    EXPECT_EQ(fs::read_symlink(folder_ / "units/uvdo.target.wants" / service_unit_of(name)),
              "../uvdo@.service");
  }
}

TEST_F(GeneratorTest, LeavesOutAWrongFileAlone) {
  add("one");
  std::ofstream(folder_ / "etc/volumes.d/bad.toml") << "uuid = [";
  auto done = generate();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("bad.toml"));
  EXPECT_TRUE(fs::exists(folder_ / "units/uvdo@one.service.d"));
}

TEST_F(GeneratorTest, HasNothingToDoWithoutVolumes) {
  fs::remove_all(folder_ / "etc");
  EXPECT_TRUE(generate());
  EXPECT_TRUE(fs::is_empty(folder_ / "units"));
}

}  // namespace
}  // namespace uvdo
