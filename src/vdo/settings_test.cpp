// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/settings.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::string parsed(std::string_view option, std::string_view text) {
  auto value = parse_setting(*setting_of_option(option), text);
  return value ? *value : "refused";
}

TEST(Settings, KeysOptionsAndLabelsAreUnique) {
  std::multiset<std::string_view> names;
  for (const Setting& setting : settings()) {
    for (const std::string_view name : {setting.key, setting.option, setting.label}) {
      if (!name.empty()) names.insert(name);
    }
    EXPECT_EQ(setting.option.empty(), setting.verbs == 0) << setting.key << setting.option;
    EXPECT_EQ(setting.option.empty(), setting.help.empty()) << setting.key << setting.option;
  }
  EXPECT_EQ(std::set<std::string_view>(names.begin(), names.end()).size(), names.size());
}

TEST(Settings, DefaultsAreWithinTheirLimitsAndFitTogether) {
  for (const Setting& setting : settings()) {
    if (setting.fallback.empty()) continue;
    auto value = parse_setting(setting, setting.fallback);
    EXPECT_TRUE(value && *value == setting.fallback) << setting.key;
  }
  EXPECT_TRUE(check_together(default_settings()).ok());
}

TEST(Settings, ValuesAreKeptInOneForm) {
  EXPECT_EQ(parsed("--vdoLogicalSize", "10485760K"), "10G");
  EXPECT_EQ(parsed("--vdoLogicalSize", "10000001B"), "9764K") << "down to a whole block";
  EXPECT_EQ(parsed("--vdoSlabSize", "128"), "128M");
  EXPECT_EQ(parsed("--vdoAckThreads", "07"), "7");
  EXPECT_EQ(parsed("--indexMem", "0,5"), "0.5");
  EXPECT_EQ(parsed("--blockMapCacheSize", "128"), "128M");
}

TEST(Settings, ErrorsNameTheLimits) {
  auto value = parse_setting(*setting_of_option("--vdoBioThreads"), "101");
  ASSERT_FALSE(value.ok());
  EXPECT_EQ(value.error().message(), "must be 1 to 100, not 101");
  value = parse_setting(*setting_of_option("--vdoSlabSize"), "3G");
  ASSERT_FALSE(value.ok());
  EXPECT_EQ(value.error().message(), "must be a power of two, not 3G");
}

TEST(Settings, WhatIsMissingIsTheDefault) {
  const SettingValues values{{"bioThreads", "9"}};
  EXPECT_EQ(number_setting(values, "bioThreads"), 9U);
  EXPECT_EQ(number_setting(values, "cpuThreads"), 2U);
  EXPECT_EQ(size_setting(values, "blockMapCacheSize"), 128U << 20);
  EXPECT_TRUE(is_enabled(values, "compression"));
  EXPECT_FALSE(is_enabled(values, "indexSparse"));
  EXPECT_EQ(text_setting(values, "device"), "");
}

TEST(Settings, ThreadsAndCacheFitTogether) {
  SettingValues values = default_settings();
  values["logicalThreads"] = "0";
  EXPECT_FALSE(check_together(values).ok());
  values["hashZoneThreads"] = values["physicalThreads"] = "0";
  EXPECT_TRUE(check_together(values).ok());
  values["hashZoneThreads"] = values["physicalThreads"] = "1";
  values["logicalThreads"] = "9";
  EXPECT_FALSE(check_together(values).ok());
  values["blockMapCacheSize"] = "144M";
  EXPECT_TRUE(check_together(values).ok());
}

}  // namespace
}  // namespace uvdo
