// SPDX-License-Identifier: GPL-2.0-or-later
#include "format/reduced_index_memory.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(ReducedIndexMemory, EachSizeHasAReducedOne) {
  EXPECT_EQ(to_text(*reduced(kQuarterGigabyte)), "reduced 0.25");
  EXPECT_EQ(to_text(*reduced(kThreeQuartersGigabyte)), "reduced 0.75");
  EXPECT_EQ(to_text(*reduced(IndexMemory{1})), "reduced 1");
  EXPECT_EQ(to_text(*reduced(IndexMemory{1024})), "reduced 1024");
}

TEST(ReducedIndexMemory, AReducedOneIsNotReducedAgain) {
  EXPECT_FALSE(reduced(IndexMemory{-1280}));
  EXPECT_FALSE(reduced(IndexMemory{-1792}));
  EXPECT_FALSE(reduced(IndexMemory{4097}));
}

}  // namespace
}  // namespace uvdo
