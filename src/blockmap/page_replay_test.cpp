// SPDX-License-Identifier: GPL-2.0-or-later
#include "blockmap/page_replay.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(ReplayRanges, HoldAllPagesOnceAndNoMoreChangesThanTheLimit) {
  constexpr std::uint64_t kBlocks = 1'000'000;
  constexpr std::uint64_t kLimit = 1000;
  ReplayRanges counted(kBlocks);
  for (std::uint64_t page = 0; page < kBlocks; page += 97) counted.count(Pbn{page});
  const auto ranges = counted.ranges(kLimit);
  ASSERT_GT(ranges.size(), kBlocks / 97 / kLimit);
  EXPECT_LT(ranges.size(), kBlocks / 97 / kLimit + 3);
  EXPECT_EQ(ranges.back().end, UINT64_MAX);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_EQ(ranges[i].first, i == 0 ? 0 : ranges[i - 1].end);
    std::uint64_t changes = 0;
    for (std::uint64_t page = 0; page < kBlocks; page += 97) {
      changes += ranges[i].contains(Pbn{page}) ? 1 : 0;
    }
    EXPECT_LE(changes, kLimit);
  }
}

TEST(ReplayRanges, AreOneIfThereIsLittle) {
  ReplayRanges counted(100);
  EXPECT_EQ(counted.ranges(1).size(), 1U);
  for (std::uint64_t page = 0; page < 100; ++page) counted.count(Pbn{page});
  const auto one = counted.ranges(100);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_TRUE(one[0].contains(Pbn{0}));
  EXPECT_TRUE(one[0].contains(Pbn{99}));
}

TEST(ReplayRanges, LeaveASliceWithTooManyChangesToBeAppliedPieceByPiece) {
  ReplayRanges counted(100);
  for (int i = 0; i < 50; ++i) counted.count(Pbn{7});
  counted.count(Pbn{3});
  counted.count(Pbn{8});
  const auto ranges = counted.ranges(10);
  ASSERT_EQ(ranges.size(), 3U);
  EXPECT_TRUE(ranges[1].contains(Pbn{7}));
  EXPECT_FALSE(ranges[1].contains(Pbn{3}));
  EXPECT_FALSE(ranges[1].contains(Pbn{8}));
}

}  // namespace
}  // namespace uvdo
