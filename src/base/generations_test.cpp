// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/generations.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(Generations, WhatIsClosedWithoutMembersIsOver) {
  Generations all;
  EXPECT_TRUE(all.is_over(all.close()));
  EXPECT_TRUE(all.is_over(all.close()));
}

TEST(Generations, LaterEntrantsAreNotWaitedForHoweverOftenItIsClosed) {
  Generations all;
  const auto early = all.enter();
  const auto first = all.close();
  const auto second = all.close();  // nobody has entered in between
  const auto late = all.enter();
  EXPECT_FALSE(all.is_over(first));
  EXPECT_FALSE(all.is_over(second));
  EXPECT_TRUE(all.leave(early));
  EXPECT_TRUE(all.is_over(first));
  EXPECT_TRUE(all.is_over(second));
  EXPECT_FALSE(all.is_over(all.close()));
  EXPECT_TRUE(all.leave(late));
}

TEST(Generations, AnOldMemberHoldsAllLaterGenerationsUp) {
  Generations all;
  const auto old = all.enter();
  const auto a = all.close();
  const auto young = all.enter();
  const auto b = all.close();
  EXPECT_FALSE(all.leave(young));
  EXPECT_FALSE(all.is_over(a));
  EXPECT_FALSE(all.is_over(b));
  EXPECT_TRUE(all.leave(old));
  EXPECT_TRUE(all.is_over(a));
  EXPECT_TRUE(all.is_over(b));
}

TEST(Generations, EndWhileOthersComeAndGoWithoutAPause) {
  Generations all;
  auto running = all.enter();
  for (int round = 0; round < 1000; ++round) {
    const auto closed = all.close();
    const auto next = all.enter();  // before the last one has left
    all.leave(running);
    ASSERT_TRUE(all.is_over(closed)) << round;
    running = next;
  }
  all.leave(running);
}

}  // namespace
}  // namespace uvdo
