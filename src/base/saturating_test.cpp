// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/saturating.h"

#include <limits>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

TEST(Saturating, DifferencesNeverWrap) {
  EXPECT_EQ(difference(7, 3), 4U);
  EXPECT_EQ(difference(3, 3), 0U);
  EXPECT_EQ(difference(3, 7), 0U);
  EXPECT_EQ(difference(0, kMost), 0U);
  EXPECT_EQ(difference(kMost, 0), kMost);
}

TEST(Saturating, NothingIsNoPartOfNothing) {
  EXPECT_EQ(percent_of(0, 0), 0);
  EXPECT_EQ(percent_of(5, 0), 0);
  EXPECT_EQ(percent_of(1, 4), 25);
}

}  // namespace
}  // namespace uvdo
