// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/space_watch.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace uvdo {
namespace {

TimePoint at(int seconds) { return TimePoint(std::chrono::seconds(1000 + seconds)); }

using Kind = SpaceEvent::Kind;

/// Events as "+80 full -80 room".
std::string words(const std::vector<SpaceEvent>& events) {
  std::string text;
  for (const SpaceEvent& event : events) {
    if (!text.empty()) text += ' ';
    switch (event.kind) {
      case Kind::above: text += fmt::format("+{}", event.percent); break;
      case Kind::below: text += fmt::format("-{}", event.percent); break;
      case Kind::full: text += "full"; break;
      case Kind::not_full: text += "room"; break;
    }
  }
  return text;
}

TEST(SpaceWatch, TellsOfEverythingThatHasHappenedSinceTheLastLook) {
  struct Look {
    SpaceSample seen;
    const char* told;
  };
  SpaceWatch watch({80, 90, 95});
  int t = 0;
  for (const Look& look : {
           Look{{799, 799, 1000}, ""},
           Look{{800, 800, 1000}, "+80"},
           Look{{795, 800, 1000}, ""},  // a little below is no news
           Look{{805, 805, 1000}, ""},
           Look{{970, 970, 1000}, "+90 +95"},
           Look{{100, 970, 1000}, "-95 -90 -80"},
           Look{{1000, 1000, 1000}, "+80 +90 +95 full"},  // within a second
           Look{{1000, 1000, 1000}, ""},
           Look{{996, 1000, 1000}, ""},
           Look{{994, 996, 1000}, "room"},
           Look{{100, 994, 1000}, "-95 -90 -80"},
           Look{{100, 1000, 1000}, "+80 +90 +95 full"},  // and free again
           Look{{100, 100, 1000}, "room -95 -90 -80"},
           Look{{100, 880, 1000}, "+80 -80"},
           Look{{990, 1000, 1000}, "+80 +90 +95 full"},
           Look{{990, 1000, 1000}, ""},  // somebody asks in vain all the time
           Look{{990, 990, 1000}, "room"},
           Look{{990, 990, 2000}, "-95 -90 -80"},  // it has grown
           Look{{0, 0, 0}, ""},                    // no room at all, no news
       }) {
    EXPECT_EQ(words(watch.observe(at(t++), look.seen)), look.told) << "look " << t;
  }
}

TEST(SpaceWatch, KnowsTheMark) {
  SpaceWatch watch({80, 95});
  EXPECT_EQ(watch.mark(), 0U);
  watch.observe(at(0), {960, 960, 1000});
  EXPECT_EQ(watch.mark(), 95U);
  watch.observe(at(1), {1000, 1000, 1000});
  EXPECT_EQ(watch.mark(), 95U);
  watch.observe(at(2), {850, 900, 1000});
  EXPECT_EQ(watch.mark(), 80U);
}

TEST(SpaceWatch, TheLowestMarkCanBeLeftToo) {
  SpaceWatch watch({1});
  EXPECT_EQ(words(watch.observe(at(0), {10, 10, 1000})), "+1");
  EXPECT_EQ(words(watch.observe(at(1), {5, 5, 1000})), "");
  EXPECT_EQ(words(watch.observe(at(2), {4, 4, 1000})), "-1");
}

/// A watch of 100'000 blocks that is looked at once a second.
struct Filling {
  SpaceWatch watch{{}};
  int seconds = 0;
  std::uint64_t used = 0;
  void go_on(int for_seconds, std::uint64_t blocks_per_second) {
    for (int i = 0; i < for_seconds; ++i) {
      used += blocks_per_second;
      watch.observe(at(++seconds), {used, used, 100'000});
    }
  }
};

TEST(SpaceWatch, TheRateSaysOverWhichTimeItIsTaken) {
  Filling filling;
  filling.go_on(5, 10);
  EXPECT_FALSE(filling.watch.until_full().has_value()) << "too early to say";
  EXPECT_EQ(filling.watch.fill_rate().over.count(), 0);
  filling.go_on(1, 10);
  EXPECT_DOUBLE_EQ(filling.watch.fill_rate().blocks_per_second, 10);
  EXPECT_EQ(filling.watch.fill_rate().over.count(), 5);
  EXPECT_EQ(filling.watch.until_full(), std::chrono::seconds((100'000 - 60) / 10));
  filling.go_on(1000, 10);
  EXPECT_EQ(filling.watch.fill_rate().over.count(), 20);
}

TEST(SpaceWatch, TheRateFollowsAChangeAndStopsWithTheWriting) {
  Filling filling;
  filling.go_on(600, 1);
  filling.go_on(20, 1000);
  EXPECT_DOUBLE_EQ(filling.watch.fill_rate().blocks_per_second, 1000);
  filling.go_on(20, 1);
  EXPECT_DOUBLE_EQ(filling.watch.fill_rate().blocks_per_second, 1);
  filling.go_on(20, 0);
  EXPECT_EQ(filling.watch.fill_rate().blocks_per_second, 0);
  EXPECT_FALSE(filling.watch.until_full().has_value());
  filling.used = 0;
  filling.go_on(10, 0);
  EXPECT_LT(filling.watch.fill_rate().blocks_per_second, 0);
  EXPECT_FALSE(filling.watch.until_full().has_value());
  filling.go_on(1, 100'000);
  EXPECT_FALSE(filling.watch.until_full().has_value()) << "it is full";
}

TEST(SpaceWatch, LooksThatComeLateOrOftenDoNotHarm) {
  Filling filling;
  filling.go_on(30, 10);
  filling.seconds += 300;  // nobody looked
  filling.go_on(1, 3000);
  EXPECT_NEAR(filling.watch.fill_rate().blocks_per_second, 10, 0.1);
  filling.go_on(20, 0);
  EXPECT_EQ(filling.watch.fill_rate().blocks_per_second, 0);
  for (int i = 0; i < 5000; ++i) {
    filling.watch.observe(at(filling.seconds) + std::chrono::milliseconds(i),
                          {5000, 5000, 100'000});
  }
  EXPECT_LE(filling.watch.fill_rate().over.count(), 21);
}

TEST(SpaceWatch, WhatIsForgottenMakesNoRate) {
  Filling filling;
  filling.go_on(30, 10);
  filling.watch.forget();
  EXPECT_EQ(filling.watch.fill_rate().blocks_per_second, 0);
  EXPECT_FALSE(filling.watch.until_full().has_value());
  filling.go_on(4, 1000);
  EXPECT_FALSE(filling.watch.until_full().has_value());
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
