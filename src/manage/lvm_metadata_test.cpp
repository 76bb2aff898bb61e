// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/lvm_metadata.h"

#include <fstream>
#include <sstream>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "manage/lvm_pool.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kMegabyte = 1U << 20U;
constexpr std::uint64_t kPoolHeader = 512U << 10U;

/// What vgcfgbackup of lvm2 2.03.16 has written of a group with a pool.
std::string real_group() {
  std::ostringstream text;
  text << std::ifstream(UVDO_SOURCE_DIR "/tests/data/lvm-group-with-vdo-pool").rdbuf();
  return text.str();
}

/// A group whose pool has two volumes, the second one in pieces.
std::string group_in_pieces() {
  const auto segment = [](int number, int start, int count, int offset) {
    return fmt::format(
        "segment{} {{ start_extent = {} extent_count = {} # comment }}\n type = \"vdo\" "
        "vdo_pool = \"p\" vdo_offset = {} }}\n",
        number, start, count, offset);
  };
  return "contents = \"x\"\nmy-vg { extent_size = 2048\nlogical_volumes {\n"
         "p { segment1 { type = \"vdo-pool\" data = \"p_vdata\" header_size = 1024 } }\n"
         "a { segment_count = 2\n" +
         segment(1, 0, 4, 0) + segment(2, 4, 2, 4) + "}\nb {\n" + segment(2, 3, 1, 20) +
         segment(1, 0, 3, 10) + "}\nother { segment1 { type = \"striped\" } }\n}\n}\n";
}

TEST(LvmMetadata, TellsAPoolOfARealGroup) {
  auto pool = parse_lvm_pool(real_group(), "pool");
  ASSERT_TRUE(pool.ok()) << pool.error().message();
  EXPECT_EQ(pool->group, "vg");
  EXPECT_EQ(pool->data, "pool_vdata");
  ASSERT_EQ(pool->volumes.size(), 1U);
  EXPECT_EQ(pool->volumes[0].name, "lv");
  EXPECT_EQ(pool->volumes[0].runs, (std::vector<LvmRun>{{0, 208 * kMegabyte, kPoolHeader}}));
  EXPECT_EQ(attach_settings(*pool),
            std::vector<std::string>{"auto,name=vg-lv,offset=524288,size=218103808"});
}

TEST(LvmMetadata, JoinsWhatFollowsAndNumbersPieces) {
  auto pool = parse_lvm_pool(group_in_pieces(), "p");
  ASSERT_TRUE(pool.ok()) << pool.error().message();
  ASSERT_EQ(pool->volumes.size(), 2U);
  EXPECT_EQ(pool->volumes[0].runs, (std::vector<LvmRun>{{0, 6 * kMegabyte, kPoolHeader}}));
  EXPECT_EQ(pool->volumes[1].runs,
            (std::vector<LvmRun>{{0, 3 * kMegabyte, kPoolHeader + 10 * kMegabyte},
                                 {3 * kMegabyte, kMegabyte, kPoolHeader + 20 * kMegabyte}}));
  const auto devices = attach_settings(*pool);
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_TRUE(devices[2].starts_with("auto,name=my-vg-b.2,offset=21495808,")) << devices[2];
}

TEST(LvmMetadata, RefusesWhatIsNoPoolOrNoDescription) {
  EXPECT_EQ(parse_lvm_pool(real_group(), "other").error().code(), Errc::not_found);
  EXPECT_EQ(parse_lvm_pool(real_group(), "none").error().code(), Errc::not_found);
  for (const char* text :
       {"", "vg {", "vg { a = [ 1", "vg }", "vg { x }", "vg { extent_size = 0 }"}) {
    EXPECT_EQ(parse_lvm_pool(text, "pool").error().code(), Errc::invalid_argument) << text;
  }
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "a {";
  EXPECT_EQ(parse_lvm_pool(deep, "pool").error().code(), Errc::invalid_argument);
}

TEST(LvmPool, IsNamedByItsGroupAndIsNoFile) {
  EXPECT_TRUE(is_lvm_pool_name("vg/pool"));
  for (const char* text : {"pool", "/vg/pool", "vg/", "./pool", "a/b/c"}) {
    EXPECT_FALSE(is_lvm_pool_name(text)) << text;
  }
  EXPECT_EQ(lvm_pool_path("my-vg/pool"), "/dev/mapper/uvdo-my--vg-pool");
}

}  // namespace
}  // namespace uvdo
