// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/conf_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace uvdo {
namespace {

constexpr const char* kExample = R"(config: !Configuration
  vdos:
    archive: !VDOService
      _operationState: finished
      ackThreads: 1
      activated: enabled
      bioRotationInterval: 64
      bioThreads: 4
      blockMapCacheSize: 256M
      blockMapPeriod: 16380
      compression: enabled
      cpuThreads: 2
      deduplication: enabled
      device: /dev/disk/by-id/scsi-0EXAMPLE_disk7
      hashZoneThreads: 1
      indexCfreq: 0
      indexMemory: 0.25
      indexSparse: disabled
      indexThreads: 0
      logicalBlockSize: 4096
      logicalSize: 3T
      logicalThreads: 1
      maxDiscardSize: 4K
      name: archive
      physicalSize: 1T
      physicalThreads: 1
      slabSize: 2G
      uuid: VDO-0f0e7a5c-6a2b-4c7d-9d57-0c9a6f7a4b11
      writePolicy: auto
  version: 538380551
)";

Configuration parsed(std::string_view text) {
  auto configuration = parse_configuration(text);
  EXPECT_TRUE(configuration.ok()) << (configuration ? "" : configuration.error().message());
  return configuration ? *configuration : Configuration();
}

class ConfFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "uvdo-conf.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ + "/vdoconf.yml";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Result<LockedConfFile> open() {
    return LockedConfFile::open(path_, [] {});
  }
  std::string text() {
    std::ostringstream all;
    all << std::ifstream(path_).rdbuf();
    return all.str();
  }

  std::string folder_;
  std::string path_;
};

TEST_F(ConfFile, IsWrittenAsItWasRead) {
  EXPECT_EQ(configuration_text(parsed(kExample)), kExample);
}

TEST_F(ConfFile, SizesAreWrittenInTheLargestUnit) {
  const Configuration configuration = parsed(
      "config: !Configuration\n  vdos:\n    a: !VDOService\n      blockMapCacheSize: 131072K\n"
      "      logicalSize: 10485760K\n  version: 538380551\n");
  const SettingValues& values = configuration.volumes.at("a").values;
  EXPECT_EQ(values.at("blockMapCacheSize"), "128M");
  EXPECT_EQ(values.at("logicalSize"), "10G");
}

TEST_F(ConfFile, UnknownKeysStay) {
  const std::string text =
      "config: !Configuration\n"
      "  anything:\n"
      "    - 1\n"
      "    - b\n"
      "  vdos:\n"
      "    a: !VDOService\n"
      "      aNewOne: 12\n"
      "      name: a\n"
      "      nested:\n"
      "        one: 1\n"
      "        two: x\n"
      "      one:\n"
      "        x: 1\n"
      "      zQuoted: \"12\"\n"
      "  version: 538380551\n";
  EXPECT_EQ(configuration_text(parsed(text)), text);
}

TEST_F(ConfFile, WhatIsNoNumberReadsBackAsItWas) {
  for (const char* value : {"a: b", "# x", "[", "two\nlines", "-1", "200000"}) {
    Configuration configuration = parsed(kExample);
    configuration.volumes["archive"].values["ackThreads"] = value;
    EXPECT_EQ(parsed(configuration_text(configuration)), configuration) << value;
  }
}

TEST_F(ConfFile, FollowsNoLinkFromItsLockOrItsNewText) {
  std::ofstream(folder_ + "/others") << "others";
  std::filesystem::create_symlink(folder_ + "/others", path_ + ".new");
  auto file = open();
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->save().ok());
  EXPECT_EQ(std::filesystem::file_size(folder_ + "/others"), 6U);
  std::filesystem::remove(path_ + ".lock");
  std::filesystem::create_symlink(folder_ + "/made", path_ + ".lock");
  EXPECT_FALSE(open().ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/made"));
}

TEST_F(ConfFile, NothingAtAllHoldsNoVolume) {
  EXPECT_EQ(parsed(""), Configuration());
  EXPECT_EQ(parsed("# a comment\n"), Configuration());
  EXPECT_EQ(configuration_text(Configuration()),
            "config: !Configuration\n  vdos: {}\n  version: 538380551\n");
  EXPECT_EQ(parsed(configuration_text(Configuration())), Configuration());
}

TEST_F(ConfFile, RefusesWhatIsNoConfiguration) {
  for (const char* text : {"a: b\n", "config: 1\n", "[", "config: {vdos: [a]}\n",
                           "config: {vdos: {a: b}}\n", "config: {version: x}\n"}) {
    auto configuration = parse_configuration(text);
    ASSERT_FALSE(configuration.ok()) << text;
    EXPECT_EQ(configuration.error().code(), Errc::corrupt) << text;
  }
}

TEST_F(ConfFile, SavesWithACommentAndReadsBack) {
  {
    auto file = open();
    ASSERT_TRUE(file.ok()) << file.error().message();
    file->configuration() = parsed(kExample);
    ASSERT_TRUE(file->save().ok());
  }
  EXPECT_TRUE(text().starts_with(std::string(68, '#') + "\n# "));
  EXPECT_TRUE(text().ends_with(kExample));
  auto again = read_configuration(path_);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, parsed(kExample));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(ConfFile, KeepsLinkAndMode) {
  std::ofstream(folder_ + "/real.yml") << kExample;
  ASSERT_EQ(chmod((folder_ + "/real.yml").c_str(), 0640), 0);
  std::filesystem::create_symlink("real.yml", path_);
  auto file = open();
  ASSERT_TRUE(file.ok());
  file->configuration().volumes.clear();
  ASSERT_TRUE(file->save().ok());
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  EXPECT_NE(text().find("vdos: {}"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0640));
}

TEST_F(ConfFile, AnotherVersionIsReadButNeverWritten) {
  const std::string other = "config: !Configuration\n  vdos: {}\n  version: 1\n";
  std::ofstream(path_) << other;
  auto file = open();
  ASSERT_TRUE(file.ok());
  auto saved = file->save();
  ASSERT_FALSE(saved.ok());
  EXPECT_EQ(saved.error().code(), Errc::unsupported);
  EXPECT_EQ(text(), other);
}

TEST_F(ConfFile, IsLockedWhileItIsOpen) {
  auto first = open();
  ASSERT_TRUE(first.ok());
  bool has_waited = false;
  // Who waits is told so; the other one lets go then.
  auto second = LockedConfFile::open(path_, [&] {
    has_waited = true;
    auto gone = std::move(first);
  });
  EXPECT_TRUE(has_waited);
  EXPECT_TRUE(second.ok());
}

}  // namespace
}  // namespace uvdo
