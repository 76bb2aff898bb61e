// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/rates_source.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(RatesSource, NumbersAreShort) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.4), "0.4");
  EXPECT_EQ(short_number(12), "12");
  EXPECT_EQ(short_number(999), "999");
  EXPECT_EQ(short_number(12345), "12.3k");
  EXPECT_EQ(short_number(999999), "1.0M");
  EXPECT_EQ(short_bytes(0), "0B");
  EXPECT_EQ(short_bytes(4096), "4.0K");
  EXPECT_EQ(short_bytes(1.5 * (1 << 30)), "1.5G");
}

TEST(RatesSource, TimesAreShort) {
  EXPECT_EQ(short_time(0), "-");
  EXPECT_EQ(short_time(85), "85us");
  EXPECT_EQ(short_time(1234), "1.2ms");
  EXPECT_EQ(short_time(123456), "123ms");
  EXPECT_EQ(short_time(3400000), "3.4s");
}

TEST(RatesSource, IntervalsHaveLimits) {
  EXPECT_EQ(*parse_interval("1"), 1);
  EXPECT_EQ(*parse_interval("0.5"), 0.5);
  for (const char* text : {"", "0", "0.01", "-1", "nan", "1s", "3601", "often"}) {
    EXPECT_FALSE(parse_interval(text).ok()) << text;
  }
}

}  // namespace
}  // namespace uvdo
