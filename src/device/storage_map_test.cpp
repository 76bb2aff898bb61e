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

/// Of a map dm-0 over loop0 of the same size.
class SameSize : public ::testing::Test {
 protected:
  SameSize() {
    machine_.add_loop("loop0", "7:0", machine_.make_file("v.img"));
    machine_.set_size("loop0", 10000);
    machine_.add_map("dm-0", "253:0", 10000, {"loop0"});
  }
  Texts beneath_with(const MapTable& table) {
    return texts(machine_.map_with([table](dev_t) { return table; }).beneath(block(253, 0), ""));
  }
  Texts beneath_by_uuid(const std::string& uuid) {
    machine_.set_map_uuid("dm-0", uuid);
    return texts(machine_.map().beneath(block(253, 0), ""));
  }

  MadeUpMachine machine_;
  const Texts exact_{"block-253-0 0+", "block-7-0 0+", "file 0+"};
  const Texts within_{"block-253-0 0+", "block-7-0 0+ within", "file 0+ within"};
};

TEST_F(SameSize, AMapThatIsOneDeviceFromBeginningToEndIsThatDevice) {
  EXPECT_EQ(beneath_with({{0, 10000, "linear", "7:0 0"}}), exact_);
  EXPECT_EQ(beneath_with({{0, 10000, "crypt", "aes-xts-plain64 00ff 0 7:0 0 1 allow_discards"}}),
            exact_);
  EXPECT_EQ(beneath_with({{0, 10000, "multipath", "0 0 1 1 service-time 0 1 2 7:0 1 1"}}), exact_);
  EXPECT_EQ(machine_.map().holders_of(makedev(7, 0)), (Texts{"dm-0"}));
}

TEST_F(SameSize, AMapThatIsMadeInAnotherWayIsNotThatDevice) {
  EXPECT_EQ(beneath_with({{0, 10000, "snapshot", "7:0 7:1 P 8"}}), within_);
  EXPECT_EQ(beneath_with({{0, 10000, "thin", "7:0 1"}}), within_);
  EXPECT_EQ(beneath_with({{0, 10000, "linear", "7:0 8"}}), within_);
  EXPECT_EQ(beneath_with({{0, 10000, "crypt", "aes-xts-plain64 00ff 0 7:0 8"}}), within_);
  EXPECT_EQ(beneath_with({{0, 5000, "linear", "7:0 5000"}, {5000, 5000, "linear", "7:0 0"}}),
            within_);
  EXPECT_EQ(beneath_with({{0, 5000, "linear", "7:0 0"}}), within_);
  EXPECT_EQ(beneath_with({{0, 10000, "linear", ""}}), within_);
  EXPECT_EQ(beneath_with({}), within_);
}

TEST_F(SameSize, WithoutItsTableTheMakerOfAMapTellsWhatItIs) {
  EXPECT_EQ(texts(machine_.map().beneath(block(253, 0), "")), within_);
  EXPECT_EQ(beneath_by_uuid("mpath-360000000"), exact_);
  EXPECT_EQ(beneath_by_uuid("CRYPT-PLAIN-name"), exact_);
  EXPECT_EQ(beneath_by_uuid("LVM-abcdef"), within_);
  EXPECT_EQ(beneath_by_uuid(""), within_);
}

TEST(MapTable, OfWhatIsNoMapIsNotTold) {
  EXPECT_FALSE(ask_map_table("/nowhere/mapper/control", makedev(253, 0)));
  EXPECT_FALSE(ask_map_table("/dev/null", makedev(253, 0)));
}

TEST(StorageId, IsTheSameWithoutAskingAnybody) {
  MadeUpMachine machine;
  const std::string file = machine.make_file("v.img");
  EXPECT_EQ(StorageId::at(file), machine.id_of("v.img"));
  EXPECT_FALSE(StorageId::at(machine.path("")));
  EXPECT_FALSE(StorageId::at(machine.path("none")));
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

}  // namespace
}  // namespace uvdo
