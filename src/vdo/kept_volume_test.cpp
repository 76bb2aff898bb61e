// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/kept_volume.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace uvdo {
namespace {

constexpr const char* kUuid = "0f0e7a5c-6a2b-4c7d-9d57-0c9a6f7a4b11";

TEST(KeptVolume, SettingsAreOptionsOfTheServerWhereItHasSuch) {
  SettingValues values = default_settings();
  values["compression"] = "disabled";
  values["blockMapCacheSize"] = "1G";
  values["blockMapPeriod"] = "1000";
  values["activated"] = "disabled";
  const NamedVolume volume = named_volume_of("archive", values);
  EXPECT_EQ(volume.name, "archive");
  EXPECT_FALSE(volume.is_activated);
  EXPECT_EQ(volume.serve.text("device-name"), "archive");
  EXPECT_EQ(volume.serve.text("mapper-name"), "archive");
  EXPECT_EQ(volume.serve.truth("compression"), false);
  EXPECT_EQ(volume.serve.truth("deduplication"), true);
  EXPECT_EQ(volume.serve.truth("write-through"), false);
  EXPECT_EQ(volume.serve.text("cache"), "1G");
  EXPECT_EQ(volume.serve.number("era-length"), 1000);
  EXPECT_EQ(volume.serve.number("minimum-io"), 4096);
  values["writePolicy"] = "sync";
  EXPECT_EQ(named_volume_of("archive", values).serve.truth("write-through"), true);
  values["logicalBlockSize"] = "512";
  EXPECT_EQ(named_volume_of("archive", values).serve.number("minimum-io"), 512);
}

TEST(KeptVolume, TheRestIsKeptForProgramsThatAsk) {
  SettingValues values = default_settings();
  values["bioThreads"] = "7";
  values["device"] = "/dev/sdb";
  values["uuid"] = kUuid;
  const NamedVolume volume = named_volume_of("archive", values);
  EXPECT_EQ(volume.vdo.number("bioThreads"), 7);
  EXPECT_EQ(volume.vdo.text("writePolicy"), "auto");
  for (const char* key : {"device", "uuid", "compression", "_operationState", "activated"}) {
    EXPECT_EQ(volume.vdo.find(key), nullptr) << key;
  }
}

TEST(KeptVolume, UuidsStandBehindAWord) {
  const auto uuid = uuid_of_vdo(std::string("VDO-") + kUuid);
  ASSERT_TRUE(uuid);
  EXPECT_EQ(uuid, uuid_of_vdo(kUuid));
  EXPECT_EQ(vdo_uuid_text(*uuid), std::string("VDO-") + kUuid);
  EXPECT_FALSE(uuid_of_vdo(""));
  EXPECT_FALSE(uuid_of_vdo("VDO-VDO-"));
}

TEST(KeptVolume, TheBestPathIsAMappedOne) {
  AttachedDevice device;
  device.path = "/dev/loop7";
  EXPECT_EQ(best_path({}), "");
  EXPECT_EQ(best_path({device}), "/dev/loop7");
  device.link = "/dev/uvdo/a";
  EXPECT_EQ(best_path({device}), "/dev/uvdo/a");
  device.mapper_link = "/dev/mapper/a";
  EXPECT_EQ(best_path({device}), "/dev/mapper/a");
}

TEST(KeptVolume, AServerIsToldByWhenItHasStartedToo) {
  const std::string own = start_of_server(static_cast<std::uint64_t>(getpid()));
  EXPECT_EQ(own, start_of_server(static_cast<std::uint64_t>(getpid())));
  EXPECT_TRUE(own.starts_with(std::to_string(getpid()) + "@"));
  EXPECT_GT(own.size(), std::to_string(getpid()).size() + 1);
  EXPECT_NE(start_of_server(1).substr(1), own.substr(own.find('@')));
}

TEST(KeptVolume, ValuesInUseAreThoseOfTheFirstChangeUnderOneServer) {
  NamedVolume volume;
  SettingValues first = default_settings();
  SettingValues second = first;
  second["bioThreads"] = "5";
  SettingValues third = second;
  third["bioThreads"] = "6";
  third["cpuThreads"] = "3";
  note_values_in_use(volume, "100@7", first, second);
  note_values_in_use(volume, "100@7", second, third);
  EXPECT_EQ(values_in_use(volume, "100@7"),
            (SettingValues{{"bioThreads", "4"}, {"cpuThreads", "2"}}));
  EXPECT_EQ(values_in_use(volume, "101@7"), SettingValues()) << "another server has the new ones";
  note_values_in_use(volume, "101@7", third, first);
  EXPECT_EQ(values_in_use(volume, "101@7"),
            (SettingValues{{"bioThreads", "6"}, {"cpuThreads", "3"}}));
}

}  // namespace
}  // namespace uvdo
