// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/storage_map.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device/testing/made_up_machine.h"

namespace uvdo {
namespace {

using testing::MadeUpMachine;

StorageId block(unsigned major_number, unsigned minor_number) {
  return {StorageId::Kind::block, makedev(major_number, minor_number), 0};
}

/// "7:0 from 0 to the end" and the like, of what lies beneath the first.
std::vector<std::string> texts(const std::vector<StorageRange>& ranges) {
  std::vector<std::string> all;
  for (const StorageRange& range : ranges) {
    std::string text = range.id.kind == StorageId::Kind::block ? range.id.text() : "file";
    text += " " + std::to_string(range.start);
    text += range.length == StorageRange::kToTheEnd ? "+" : "+" + std::to_string(range.length);
    if (range.share == StorageRange::Share::within) text += " within";
    all.push_back(text);
  }
  return all;
}

using Texts = std::vector<std::string>;

TEST(StorageMap, AFileIsItselfByAllOfItsNames) {
  MadeUpMachine machine;
  const std::string file = machine.make_file("v.img");
  std::filesystem::create_hard_link(file, machine.path("other.img"));
  std::filesystem::create_symlink(file, machine.path("link.img"));
  EXPECT_EQ(machine.id_of("v.img"), machine.id_of("other.img"));
  EXPECT_EQ(machine.id_of("v.img"), machine.id_of("link.img"));
  EXPECT_EQ(texts(machine.map().beneath(machine.id_of("v.img"), file)), (Texts{"file 0+"}));
}

TEST(StorageMap, ALoopDeviceIsItsFile) {
  MadeUpMachine machine;
  const std::string file = machine.make_file("v.img");
  machine.add_loop("loop0", "7:0", file);
  const auto beneath = machine.map().beneath(block(7, 0), "");
  ASSERT_EQ(texts(beneath), (Texts{"block-7-0 0+", "file 0+"}));
  EXPECT_EQ(beneath[1].id, machine.id_of("v.img"));
  EXPECT_EQ(beneath[1].path, file);
}

TEST(StorageMap, ALoopDeviceMayShowAPartOfItsFile) {
  MadeUpMachine machine;
  const std::string file = machine.make_file("v.img");
  machine.add_loop("loop0", "7:0", file, 1 << 20, 8 << 20);
  EXPECT_EQ(texts(machine.map().beneath(block(7, 0), "")),
            (Texts{"block-7-0 0+", "file 1048576+8388608"}));
}

TEST(StorageMap, APartitionIsAPartOfItsDiskAndOfWhatLiesBeneath) {
  MadeUpMachine machine;
  machine.add_loop("loop0", "7:0", machine.make_file("disk.img"), 4096);
  machine.add_partition("loop0", "loop0p2", "259:1", 2048, 1000);
  EXPECT_EQ(texts(machine.map().beneath(block(259, 1), "")),
            (Texts{"block-259-1 0+", "block-7-0 1048576+512000", "file 1052672+512000"}));
}

TEST(StorageMap, AMapOfTheSameSizeIsWhatItMaps) {
  MadeUpMachine machine;
  machine.add_loop("loop0", "7:0", machine.make_file("v.img"));
  machine.set_size("loop0", 10000);
  machine.add_map("dm-0", "253:0", 10000, {"loop0"});
  EXPECT_EQ(texts(machine.map().beneath(block(253, 0), "")),
            (Texts{"block-253-0 0+", "block-7-0 0+", "file 0+"}));
  EXPECT_EQ(machine.map().holders_of(makedev(7, 0)), (Texts{"dm-0"}));
}

TEST(StorageMap, OfASmallerMapNobodyKnowsWhichPartItIs) {
  MadeUpMachine machine;
  machine.add_loop("loop0", "7:0", machine.make_file("v.img"));
  machine.set_size("loop0", 10000);
  machine.add_map("dm-0", "253:0", 5000, {"loop0"});
  EXPECT_EQ(texts(machine.map().beneath(block(253, 0), "")),
            (Texts{"block-253-0 0+", "block-7-0 0+ within", "file 0+ within"}));
}

TEST(StorageMap, LoopDevicesOverAFileAreFound) {
  MadeUpMachine machine;
  const std::string file = machine.make_file("v.img");
  machine.add_loop("loop0", "7:0", machine.make_file("other.img"));
  machine.add_loop("loop1", "7:1", file);
  // Without nodes of the right numbers nobody can use them here.
  EXPECT_TRUE(machine.map().loops_over(machine.id_of("v.img")).empty());
}

TEST(StorageMap, WhatTheKernelDoesNotTellIsMissing) {
  MadeUpMachine machine;
  EXPECT_EQ(texts(machine.map().beneath(block(8, 1), "")), (Texts{"block-8-1 0+"}));
  machine.add_loop("loop0", "7:0", "/nowhere/v.img (deleted)");
  EXPECT_EQ(texts(machine.map().beneath(block(7, 0), "")), (Texts{"block-7-0 0+"}));
}

TEST(StorageMap, DevicesInACircleEnd) {
  MadeUpMachine machine;
  machine.add_map("dm-0", "253:0", 100, {});
  machine.add_map("dm-1", "253:1", 100, {"dm-0"});
  machine.add_slave("dm-0", "dm-1");
  EXPECT_EQ(machine.map().beneath(block(253, 0), "").size(), 2U);
}

TEST(StorageRange, OverlapsWhereBothHaveAByte) {
  const StorageRange first{block(8, 0), "", 0, 100, StorageRange::Share::exact};
  StorageRange second{block(8, 0), "", 100, StorageRange::kToTheEnd, StorageRange::Share::exact};
  EXPECT_FALSE(first.overlaps(second));
  second.start = 99;
  EXPECT_TRUE(first.overlaps(second));
  EXPECT_TRUE(second.overlaps(first));
  second.id = block(8, 1);
  EXPECT_FALSE(first.overlaps(second));
}

}  // namespace
}  // namespace uvdo
