// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/space_watch.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TimePoint at(int seconds) { return TimePoint(std::chrono::seconds(1000 + seconds)); }

TEST(SpaceWatch, TellsOfEachMarkOnceAndAgainWhenItWasLeft) {
  SpaceWatch watch({80, 90, 95});
  EXPECT_TRUE(watch.observe(at(0), 799, 1000).empty());
  EXPECT_EQ(watch.mark(), 0U);
  auto passed = watch.observe(at(1), 800, 1000);
  ASSERT_EQ(passed.size(), 1U);
  EXPECT_EQ(passed[0].percent, 80U);
  EXPECT_TRUE(passed[0].upward);
  EXPECT_TRUE(watch.observe(at(2), 795, 1000).empty()) << "a little below is no news";
  EXPECT_TRUE(watch.observe(at(3), 805, 1000).empty());
  passed = watch.observe(at(4), 970, 1000);
  ASSERT_EQ(passed.size(), 2U);
  EXPECT_EQ(passed[1].percent, 95U);
  EXPECT_EQ(watch.mark(), 95U);
  passed = watch.observe(at(5), 100, 1000);
  ASSERT_EQ(passed.size(), 3U);
  EXPECT_EQ(passed[0].percent, 95U);
  EXPECT_FALSE(passed[0].upward);
  EXPECT_EQ(watch.observe(at(6), 1000, 1000).size(), 3U);
}

TEST(SpaceWatch, TheLowestMarkCanBeLeftToo) {
  SpaceWatch watch({1});
  EXPECT_EQ(watch.observe(at(0), 10, 1000).size(), 1U);
  EXPECT_TRUE(watch.observe(at(1), 5, 1000).empty());
  EXPECT_EQ(watch.observe(at(2), 4, 1000).size(), 1U);
}

TEST(SpaceWatch, EstimatesFromTheRecentRate) {
  SpaceWatch watch({});
  watch.observe(at(0), 100, 1100);
  watch.observe(at(5), 105, 1100);
  EXPECT_FALSE(watch.until_full().has_value()) << "too early to say";
  watch.observe(at(10), 110, 1100);
  EXPECT_DOUBLE_EQ(watch.fill_rate(), 1.0);
  EXPECT_EQ(watch.until_full(), std::chrono::seconds(990));
  // After ten minutes without writes the old rate is forgotten.
  for (int t = 15; t <= 700; t += 5) watch.observe(at(t), 110, 1100);
  EXPECT_FALSE(watch.until_full().has_value());
  watch.observe(at(705), 50, 1100);
  EXPECT_LT(watch.fill_rate(), 0);
  EXPECT_FALSE(watch.until_full().has_value());
  watch.observe(at(710), 1100, 1100);
  EXPECT_FALSE(watch.until_full().has_value()) << "it is full";
}

TEST(SpaceWatch, MarksAreAscendingPercents) {
  EXPECT_EQ(*parse_watermarks("80,90,95"), (std::vector<unsigned>{80, 90, 95}));
  EXPECT_EQ(*parse_watermarks("100"), (std::vector<unsigned>{100}));
  EXPECT_TRUE(parse_watermarks("")->empty());
  for (const char* text : {"0", "101", "90,80", "80,80", "80,", ",80", "80 90", "x", "80.5"}) {
    EXPECT_FALSE(parse_watermarks(text).ok()) << text;
  }
}

}  // namespace
}  // namespace uvdo
