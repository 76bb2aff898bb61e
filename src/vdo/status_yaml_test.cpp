// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/status_yaml.h"

#include <cstdlib>

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

namespace uvdo {
namespace {

class StatusYaml : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "XXX-5:30", 1);
    tzset();
  }
  void TearDown() override {
    unsetenv("TZ");
    tzset();
  }

  static VdoStatus status() {
    return {.now = 1796000000,
            .node = "host1.example",
            .version = "1.2.3",
            .conf_file = "/etc/vdoconf.yml",
            .conf_changed = 1795999999};
  }
  static StatusVolume running() {
    StatusVolume volume{.values = default_settings()};
    volume.node = "/dev/sdc";
    volume.path = "/dev/mapper/a";
    VolumeStatistics& statistics = volume.statistics.emplace();
    statistics.logical_blocks = 1000;
    statistics.physical_blocks = 500;
    statistics.data_blocks_used = 7;
    statistics.overhead_blocks_used = 100;
    statistics.logical_block_size = 512;
    statistics.extra.index_state = "online";
    return volume;
  }
};

TEST_F(StatusYaml, BeginsAsOfOld) {
  EXPECT_EQ(status_yaml(status()),
            "VDO status:\n"
            "  Date: '2026-11-30 06:23:20+05:30'\n"
            "  Node: host1.example\n"
            "Kernel module:\n"
            "  Loaded: false\n"
            "  Name: uvdo\n"
            "  Version information:\n"
            "    kvdo version: 1.2.3\n"
            "Configuration:\n"
            "  File: /etc/vdoconf.yml\n"
            "  Last modified: '2026-11-30 06:23:19'\n"
            "VDOs: {}\n");
}

TEST_F(StatusYaml, AVolumeThatIsStoppedHasNoStatistics) {
  VdoStatus all = status();
  all.volumes["a"] = {.values = default_settings()};
  const YAML::Node volume = YAML::Load(status_yaml(all))["VDOs"]["a"];
  EXPECT_EQ(volume["Device mapper status"].Scalar(), "not available");
  EXPECT_EQ(volume["Index status"].Scalar(), "not available");
  EXPECT_EQ(volume["VDO statistics"].Scalar(), "not available");
  EXPECT_EQ(volume["Block size"].as<int>(), 4096);
  EXPECT_FALSE(volume["Read cache"]);
}

TEST_F(StatusYaml, ARunningVolumeTellsWhatTheKernelWould) {
  VdoStatus all = status();
  all.volumes["a"] = running();
  const YAML::Node volume = YAML::Load(status_yaml(all))["VDOs"]["a"];
  EXPECT_EQ(volume["Device mapper status"].Scalar(),
            "0 8000 vdo /dev/sdc normal - online offline 107 500");
  const YAML::Node statistics = volume["VDO statistics"]["/dev/mapper/a"];
  EXPECT_EQ(statistics["data blocks used"].as<int>(), 7);
  EXPECT_TRUE(statistics["512 byte emulation"].as<bool>());
  std::string before;
  for (const auto& each : statistics) {
    EXPECT_LT(before, each.first.Scalar());
    before = each.first.Scalar();
  }
}

TEST_F(StatusYaml, WhatWaitsStandsInBrackets) {
  VdoStatus all = status();
  all.volumes["a"] = running();
  all.volumes["a"].in_use = {{"blockMapCacheSize", "256M"}, {"bioThreads", "4"}};
  const YAML::Node volume = YAML::Load(status_yaml(all))["VDOs"]["a"];
  EXPECT_EQ(volume["Block map cache size"].Scalar(), "256M [128M]");
  EXPECT_EQ(volume["Bio submission threads"].Scalar(), "4") << "it is the same";
}

}  // namespace
}  // namespace uvdo
