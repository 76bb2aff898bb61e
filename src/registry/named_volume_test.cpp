// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/named_volume.h"

#include <gtest/gtest.h>

#include "format/uuid_text.h"

namespace uvdo {
namespace {

constexpr const char* kUuidText = "0f0e7a5c-1d2b-4c3a-8f00-0123456789ab";

NamedVolume example() {
  NamedVolume volume;
  volume.name = "archive";
  volume.uuid = *uuid_of(kUuidText);
  volume.storage = "/dev/disk/by-id/scsi-1";
  volume.is_activated = false;
  volume.lvm_pool = "vg/pool";
  volume.serve = {{"cache", std::string("256M")},
                  {"attach", std::vector<std::string>{"auto", "nbd"}},
                  {"compression", true},
                  {"era-length", std::int64_t{16380}}};
  volume.vdo = {{"ackThreads", std::int64_t{1}}, {"Block map cache", std::string("128M")}};
  return volume;
}

NamedVolume parsed(const std::string& text) {
  auto volume = parse_named_volume("archive", "/x/archive.toml", text);
  EXPECT_TRUE(volume.ok()) << volume.error().message();
  return volume ? *volume : NamedVolume();
}

std::string refusal(const std::string& text) {
  auto volume = parse_named_volume("a", "/x/a.toml", text);
  return volume ? "" : volume.error().message();
}

TEST(NamedVolume, IsReadBackAsItWasWritten) {
  const NamedVolume volume = example();
  EXPECT_EQ(parsed(text_of_named_volume(volume)), volume);
}

TEST(NamedVolume, KeepsTheOrderOfItsSettings) {
  const NamedVolume volume = parsed(text_of_named_volume(example()));
  ASSERT_EQ(volume.serve.entries().size(), 4U);
  EXPECT_EQ(volume.serve.entries()[0].first, "cache");
  EXPECT_EQ(volume.serve.entries()[1].first, "attach");
}

TEST(NamedVolume, WritesPathsWithAnyCharacters) {
  NamedVolume volume = example();
  volume.storage = "/srv/a \"b\"\\c\xc3\xa4";
  EXPECT_EQ(parsed(text_of_named_volume(volume)).storage, volume.storage);
}

// systemd and udev would take what follows a line feed for lines of its own.
TEST(NamedVolume, HasNoControlCharactersInItsPath) {
  for (const char* path : {"/srv/a\nExecStart=/bin/sh", "/srv/\x1b[2J", "/srv/\x7f", "srv/a"}) {
    NamedVolume volume = example();
    volume.storage = path;
    EXPECT_FALSE(check_storage_path(path).ok()) << path;
    EXPECT_FALSE(parse_named_volume("archive", "/f", text_of_named_volume(volume)).ok()) << path;
  }
  EXPECT_TRUE(check_storage_path("/srv/\xc3\xa4 b"));
}

TEST(NamedVolume, SaysWhatEachKeyIsFor) {
  const std::string text = text_of_named_volume(example());
  EXPECT_NE(text.find("# The volume \"archive\""), std::string::npos);
  EXPECT_NE(text.find("# where it was found last"), std::string::npos);
}

TEST(NamedVolume, KeepsCommentsOfItsOwner) {
  const std::string old_text =
      "# The volume \"archive\" of uvdo; see uvdo-volume(5).\nuuid = \"" + std::string(kUuidText) +
      "\"\n# moved by Ann\nvolume = \"/v\"\n[serve]\n  # more than enough\ncache = \"1G\"\n"
      "# asked for by Bob\nbuffers = \"1G\"\n# the end\n";
  NamedVolume volume = parsed(old_text);
  volume.serve.erase("buffers");
  const std::string text = text_of_named_volume(volume, old_text);
  EXPECT_NE(text.find("# moved by Ann\nvolume ="), std::string::npos) << text;
  EXPECT_NE(text.find("# more than enough\ncache ="), std::string::npos) << text;
  EXPECT_NE(text.find("# asked for by Bob\n"), std::string::npos) << text;
  EXPECT_NE(text.find("# the end\n"), std::string::npos) << text;
  // Its own comments stand there once, however often it is written.
  const std::string again = text_of_named_volume(volume, text);
  EXPECT_EQ(again, text);
}

TEST(NamedVolume, RefusesWhatItDoesNotUnderstandWithTheLine) {
  const std::string good = "uuid = \"" + std::string(kUuidText) + "\"\nvolume = \"/v\"\n";
  EXPECT_EQ(refusal(good), "");
  EXPECT_EQ(refusal("volume = \"/v\"\n"), "/x/a.toml has no \"uuid\"");
  EXPECT_EQ(refusal("uuid = \"1\"\n"), "/x/a.toml, line 1: \"uuid\" is the UUID of the volume");
  EXPECT_NE(refusal(good + "cache = 1\n").find("line 3: \"cache\" means nothing here"),
            std::string::npos);
  EXPECT_NE(refusal(good + "volume = 1\n").find("line 3"), std::string::npos);
  EXPECT_NE(refusal("volume = \"relative\"\n").find("whole path"), std::string::npos);
  EXPECT_NE(refusal(good + "lvm-pool = \"pool\"\n").find("VG/POOL"), std::string::npos);
  EXPECT_NE(refusal(good + "activate = 1\n").find("true or false"), std::string::npos);
  EXPECT_NE(refusal(good + "[serve]\nnbd = [1]\n").find("line 4: \"nbd\""), std::string::npos);
  EXPECT_NE(refusal(good + "serve = 1\n").find("is a table"), std::string::npos);
}

TEST(NamedVolume, HasANameThatIsAFileNameAndAWord) {
  for (const char* name : {"a", "A.b_c+d-1", "0"}) EXPECT_TRUE(is_volume_name(name)) << name;
  for (const char* name : {"", ".a", "-a", "a/b", "a b", "a:1", "\xc3\xa4"}) {
    EXPECT_FALSE(is_volume_name(name)) << name;
  }
  EXPECT_TRUE(is_volume_name(std::string(50, 'a')));
  EXPECT_FALSE(is_volume_name(std::string(51, 'a')));
  EXPECT_TRUE(check_volume_name("a").ok());
  EXPECT_FALSE(check_volume_name("..").ok());
}

}  // namespace
}  // namespace uvdo
