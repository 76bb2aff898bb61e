// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/log_throttle.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TimePoint at(std::int64_t seconds) { return TimePoint{} + std::chrono::seconds(seconds); }

TEST(LogThrottle, SomeLinesPassAndTheNextOnesTellHowManyDidNot) {
  LogThrottle throttle(2);
  EXPECT_EQ(throttle.pass("a", at(1)), "a");
  EXPECT_EQ(throttle.pass("b", at(2)), "b");
  EXPECT_EQ(throttle.pass("c", at(3)), "");
  EXPECT_EQ(throttle.pass("d", at(10)), "");
  EXPECT_EQ(throttle.pass("e", at(11)), "e (and 2 more lines like this)");
  EXPECT_EQ(throttle.pass("f", at(11)), "f");
}

TEST(LogThrottle, WhatWasDroppedCanBeToldByItself) {
  LogThrottle throttle(1);
  EXPECT_EQ(throttle.take_dropped(at(1)), 0U);
  EXPECT_TRUE(throttle.admit(at(1)));
  EXPECT_FALSE(throttle.admit(at(2)));
  EXPECT_FALSE(throttle.admit(at(3)));
  EXPECT_EQ(throttle.take_dropped(at(10)), 0U) << "it is not over yet";
  EXPECT_EQ(throttle.take_dropped(at(11)), 2U);
  EXPECT_EQ(throttle.take_dropped(at(12)), 0U) << "told once";
  EXPECT_TRUE(throttle.admit(at(12)));
}

}  // namespace
}  // namespace uvdo
