// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/vdo_size.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::uint64_t bytes_of(std::string_view text) {
  auto bytes = parse_vdo_size(text, SectorSuffix::allowed);
  EXPECT_TRUE(bytes.ok()) << text;
  return bytes ? *bytes : 0;
}

bool is_refused(std::string_view text) { return !parse_vdo_size(text, SectorSuffix::allowed).ok(); }

TEST(VdoSize, NumberAloneIsMegabytes) { EXPECT_EQ(bytes_of("128"), 128U << 20); }

TEST(VdoSize, SuffixesArePowersOf1024InAnyCase) {
  EXPECT_EQ(bytes_of("7B"), 7U);
  EXPECT_EQ(bytes_of("4K"), 4096U);
  EXPECT_EQ(bytes_of("100g"), std::uint64_t{100} << 30);
  EXPECT_EQ(bytes_of("20t"), std::uint64_t{20} << 40);
  EXPECT_EQ(bytes_of("4P"), std::uint64_t{4} << 50);
  EXPECT_EQ(bytes_of("1E"), std::uint64_t{1} << 60);
  EXPECT_EQ(bytes_of("1.5G"), std::uint64_t{3} << 29);
}

TEST(VdoSize, SectorsOnlyWhereTheyAreAllowed) {
  EXPECT_EQ(bytes_of("20971520S"), std::uint64_t{10} << 30);
  EXPECT_FALSE(parse_vdo_size("8S", SectorSuffix::refused).ok());
}

TEST(VdoSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "-1G", "1X", "1KB", "1.G", "1.5.5G", "1e3", "1.5e1G", " 1G",
                           "0x10", "17E", "99999999999999999999"}) {
    EXPECT_TRUE(is_refused(text)) << text;
  }
}

TEST(VdoSize, PrintsTheLargestExactSuffix) {
  EXPECT_EQ(vdo_size_text(std::uint64_t{10} << 40), "10T");
  EXPECT_EQ(vdo_size_text(std::uint64_t{7} << 30), "7G");
  EXPECT_EQ(vdo_size_text(128U << 20), "128M");
  EXPECT_EQ(vdo_size_text(4096), "4K");
  EXPECT_EQ(vdo_size_text(std::uint64_t{3814697} << 20), "3814697M");
  EXPECT_EQ(vdo_size_text(std::uint64_t{754440172} << 10), "754440172K");
  EXPECT_EQ(vdo_size_text(512), "512B");
  EXPECT_EQ(vdo_size_text(0), "0M");
}

}  // namespace
}  // namespace uvdo
