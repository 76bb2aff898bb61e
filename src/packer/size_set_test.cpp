// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/size_set.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(SizeSet, FindsTheLargestUpToASizeAsAnOrderedSetDoes) {
  std::mt19937 random(5);
  SizeSet sizes;
  std::set<std::size_t> model;
  for (int step = 0; step < 20000; ++step) {
    const std::size_t size = random() % kBlockSize;
    // Now and then nearly full, and nearly empty.
    if (random() % 1000 < static_cast<unsigned>(step % 1000)) {
      sizes.erase(size);
      model.erase(size);
    } else {
      sizes.insert(size);
      model.insert(size);
    }
    const std::size_t limit = random() % kBlockSize;
    const auto found = sizes.largest_up_to(limit);
    const auto after = model.upper_bound(limit);
    if (after == model.begin()) {
      EXPECT_EQ(found, std::nullopt);
    } else {
      EXPECT_EQ(found, *std::prev(after)) << limit;
    }
  }
}

TEST(SizeSet, KnowsItsEnds) {
  SizeSet sizes;
  EXPECT_EQ(sizes.largest_up_to(kBlockSize - 1), std::nullopt);
  sizes.insert(0);
  sizes.insert(kBlockSize - 1);
  EXPECT_EQ(sizes.largest_up_to(kBlockSize - 1), kBlockSize - 1);
  EXPECT_EQ(sizes.largest_up_to(kBlockSize - 2), 0U);
  EXPECT_EQ(sizes.largest_up_to(0), 0U);
  sizes.erase(0);
  EXPECT_EQ(sizes.largest_up_to(kBlockSize - 2), std::nullopt);
}

}  // namespace
}  // namespace uvdo
