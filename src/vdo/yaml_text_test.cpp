// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/yaml_text.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

namespace uvdo {
namespace {

TEST(YamlText, WordsSizesAndPathsNeedNoQuotes) {
  for (const char* text :
       {"enabled", "128M", "4T", "1E", "7B", "/dev/disk/by-id/scsi-0X_y.z", "async-unsafe", "N/A",
        "not available", "VDO-0f0e7a5c-6a2b-4c7d-9d57-0c9a6f7a4b11", "a:b", "128M [256M]",
        "0 6442450944 vdo /dev/sdc normal - online online 2200000 268435456", "vdo1"}) {
    EXPECT_EQ(yaml_scalar(text), text);
  }
}

TEST(YamlText, QuotesWhatWouldBeSomethingElse) {
  EXPECT_EQ(yaml_scalar("2026-11-30 05:10:00+00:00"), "'2026-11-30 05:10:00+00:00'");
  for (const char* text : {"", "12", "-1", "0.25", "1e3", "0x1f", "12:30:45", "2026-11-30", "yes",
                           "Off", "null", "~", "1_000"}) {
    EXPECT_EQ(yaml_scalar(text), "'" + std::string(text) + "'");
  }
  EXPECT_EQ(yaml_scalar("it's: so"), "'it''s: so'");
}

TEST(YamlText, ReadsBackAsItWas) {
  for (const std::string text : {"a",      "",   " a",   "a ", "- a",  "-",     "--",
                                 "a: b",   "a:", "a #b", "#a", "'a'",  "\"a\"", "[a]",
                                 "{a: b}", "!a", "&a",   "*a", "a\nb", "a\tb",  "a\\b\x01",
                                 "%a",     "@a", "|",    ">",  "?"}) {
    EXPECT_EQ(YAML::Load("k: " + yaml_scalar(text))["k"].Scalar(), text);
  }
}

}  // namespace
}  // namespace uvdo
