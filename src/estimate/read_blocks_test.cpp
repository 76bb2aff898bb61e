// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/read_blocks.h"

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kFrom = 100 * kBlockSize;

/// Ten blocks, read from the hundredth on, each of which holds its number; those in `bad` fail.
struct Read {
  explicit Read(const std::set<std::uint64_t>& bad) {
    std::vector<std::byte> out(10 * kBlockSize);
    const ReadBytes read = [&](std::uint64_t offset, MutableBytes into) -> Result<void> {
      ++reads;
      for (std::size_t at = 0; at < into.size(); at += kBlockSize) {
        const std::uint64_t block = (offset + at - kFrom) / kBlockSize;
        if (bad.contains(block)) return errno_error(EIO, "disk");
        std::memset(into.data() + at, static_cast<int>(block), kBlockSize);
      }
      return {};
    };
    const std::size_t filled = read_good_blocks(
        read, kFrom, out, [&](std::uint64_t offset, std::uint64_t length, const Error& error) {
          told.push_back(unread_text(offset, length, error));
        });
    for (std::size_t at = 0; at < filled; at += kBlockSize) {
      good.push_back(std::to_integer<int>(out[at]));
    }
  }
  unsigned reads = 0;
  std::vector<int> good;
  std::vector<std::string> told;
};

TEST(ReadBlocks, OneBadBlockCostsNoOthers) {
  const Read found({3});
  EXPECT_EQ(found.good, (std::vector{0, 1, 2, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(found.told, std::vector<std::string>{
                            "disk: Input/output error: 4096 bytes at 421888 are left out"});
}

TEST(ReadBlocks, NeighboursAreToldOfTogether) {
  const Read found({0, 1, 2, 7, 9});
  EXPECT_EQ(found.good, (std::vector{3, 4, 5, 6, 8}));
  ASSERT_EQ(found.told.size(), 3U);
  EXPECT_NE(found.told[0].find("12288 bytes at 409600"), std::string::npos);
}

TEST(ReadBlocks, WhatIsGoodIsReadOnce) { EXPECT_EQ(Read({}).reads, 1U); }

TEST(ReadBlocks, NothingIsLeftOfWhatIsAllBad) {
  const Read found({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_TRUE(found.good.empty());
  EXPECT_EQ(found.told.size(), 1U);
}

}  // namespace
}  // namespace uvdo
