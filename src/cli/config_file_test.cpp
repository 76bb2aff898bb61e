// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uvdo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConfigFileTest : public ::testing::Test {
 protected:
  ConfigFileTest() : app_("", "uvdo serve") {
    app_.option("--nbd", nbd_, "").one_value_each();
    app_.option("--cache", cache_, "");
    app_.option("--era-length", era_, "");
    app_.option("--compression", compression_, "");
    app_.flag("--read-only", read_only_, "");
  }
  Result<ConfigFile> parse(std::string_view text) {
    return parse_config(app_, "serve", "u.toml", text);
  }
  std::string refusal(std::string_view text) {
    auto parsed = parse(text);
    return parsed ? "" : parsed.error().message();
  }

  Arguments app_;
  std::vector<std::string> nbd_;
  std::string cache_;
  std::string era_;
  std::string compression_;
  bool read_only_ = false;
};

TEST_F(ConfigFileTest, KeysAreOptions) {
  auto config = parse(R"(
      volume = "/dev/x"
      [format]
      anything = 3
      [serve]
      nbd = ["unix:a", "tcp:b:1"]
      cache = "1G"
      era-length = 16380
      compression = true
      read-only = true
  )");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->volume, "/dev/x");
  EXPECT_THAT(config->arguments, ::testing::UnorderedElementsAre(
                                     "--nbd=unix:a", "--nbd=tcp:b:1", "--cache=1G",
                                     "--era-length=16380", "--compression=on", "--read-only"));
  EXPECT_THAT(parse("[serve]\nread-only = false\n")->arguments, IsEmpty());
  EXPECT_THAT(parse("")->arguments, IsEmpty());
}

TEST_F(ConfigFileTest, TheFileOfANamedVolumeIsOne) {
  auto config = parse(R"(
      uuid = "0f0e7a5c-1d2b-4c3a-8f00-0123456789ab"
      volume = "/dev/x"
      activate = false
      lvm-pool = "vg/pool"
      [serve]
      cache = "1G"
      [vdo]
      ackThreads = 1
  )");
  ASSERT_TRUE(config.ok()) << config.error().message();
  ASSERT_TRUE(config->uuid.has_value());
  EXPECT_EQ(to_text(*config->uuid), "0f0e7a5c-1d2b-4c3a-8f00-0123456789ab");
  EXPECT_THAT(config->arguments, ElementsAre("--cache=1G"));
  EXPECT_THAT(refusal("uuid = \"7\"\n"), HasSubstr("line 1: \"uuid\" is the UUID"));
  EXPECT_THAT(refusal("activate = 1\n"), HasSubstr("\"activate\" is true or false"));
}

TEST_F(ConfigFileTest, WhatIsWrongIsToldWithItsLine) {
  EXPECT_THAT(refusal("[serve]\n\ncash = \"1G\"\n"),
              ::testing::AllOf(HasSubstr("u.toml, line 3"), HasSubstr("\"cash\""),
                               HasSubstr("era-length")));
  EXPECT_THAT(refusal("[serve]\nread-only = \"yes\"\n"), HasSubstr("true or false"));
  EXPECT_THAT(refusal("[serve]\ncache = [\"1G\", \"2G\"]\n"), HasSubstr("one value"));
  EXPECT_THAT(refusal("[serve]\ncache = {a = 1}\n"), HasSubstr("a text, a number"));
  EXPECT_THAT(refusal("[serve]\nconfig = \"other\"\n"), HasSubstr("has no \"config\""));
  EXPECT_THAT(refusal("[server]\n"), HasSubstr("means nothing"));
  EXPECT_THAT(refusal("serve = 1\n"), HasSubstr("means nothing"));
  EXPECT_THAT(refusal("volume = 7\n"), HasSubstr("\"volume\""));
  EXPECT_THAT(refusal("a = \n[serve"), HasSubstr("line 1"));
}

TEST_F(ConfigFileTest, TheCommandLineComesFirst) {
  const std::string path = ::testing::TempDir() + "uvdo-config-test.toml";
  std::FILE* file = std::fopen(path.c_str(), "w");
  std::fputs("volume = \"v\"\n[serve]\nnbd = \"unix:a\"\ncache = \"1G\"\nera-length = 5\n", file);
  std::fclose(file);
  std::string volume;
  std::string config;
  app_.option("VOLUME", volume, "");
  app_.option("--config", config, "");
  std::vector<std::string> words{"serve", "--config", path, "--cache=2G", "--nbd", "unix:b"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const auto status = parse_arguments_with_config(app_, "serve", volume,
                                                  static_cast<int>(argv.size()), argv.data());
  EXPECT_FALSE(status.has_value());
  EXPECT_EQ(volume, "v");
  EXPECT_EQ(cache_, "2G");
  EXPECT_EQ(era_, "5");
  EXPECT_THAT(nbd_, ElementsAre("unix:b"));
  std::remove(path.c_str());
}

}  // namespace
}  // namespace uvdo
