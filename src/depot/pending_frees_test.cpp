// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/pending_frees.h"

#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::vector<std::uint64_t> pop(PendingFrees& frees) {
  std::vector<std::uint64_t> blocks;
  frees.pop_oldest([&](Pbn pbn) { blocks.push_back(pbn.value()); });
  return blocks;
}

TEST(PendingFrees, NeighboursFreedOneAfterTheOtherShareARecord) {
  PendingFrees frees;
  for (std::uint16_t i = 0; i < 64; ++i) frees.add(Pbn{640U + i}, {7, i}, 3);
  EXPECT_EQ(frees.records(), 1U);
  EXPECT_EQ(frees.size(), 64U);
  EXPECT_EQ(frees.oldest_point(), (JournalPoint{7, 63}));
  frees.add(Pbn{704}, {8, 0}, 3);
  EXPECT_EQ(frees.records(), 2U);
  EXPECT_EQ(pop(frees).size(), 64U);
  EXPECT_EQ(pop(frees), std::vector<std::uint64_t>{704});
  EXPECT_TRUE(frees.empty());
}

TEST(PendingFrees, BlocksThatWaitForOtherReadersHaveRecordsOfTheirOwn) {
  PendingFrees frees;
  frees.add(Pbn{640}, {7, 0}, 3);
  frees.add(Pbn{641}, {7, 1}, 4);
  EXPECT_EQ(frees.oldest_epoch(), 3U);
  EXPECT_EQ(pop(frees), std::vector<std::uint64_t>{640});
  EXPECT_EQ(frees.oldest_epoch(), 4U);
}

TEST(PendingFrees, ABlockThatIsTakenUpAndFreedAgainWaitsForTheSecondTimeOnly) {
  PendingFrees frees;
  frees.add(Pbn{640}, {7, 0}, 3);
  frees.take_up(Pbn{640});
  EXPECT_FALSE(frees.contains(Pbn{640}));
  EXPECT_EQ(frees.size(), 0U);
  EXPECT_FALSE(frees.empty());
  frees.add(Pbn{640}, {9, 5}, 8);
  EXPECT_TRUE(frees.contains(Pbn{640}));
  EXPECT_TRUE(pop(frees).empty());
  EXPECT_EQ(frees.oldest_point(), (JournalPoint{9, 5}));
  EXPECT_EQ(pop(frees), std::vector<std::uint64_t>{640});
}

TEST(PendingFrees, BehaveAsAQueueOfSingleBlocksWouldDo) {
  constexpr unsigned kSeed = 4711;
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937 random(kSeed);
  PendingFrees frees;
  struct Single {
    std::uint64_t pbn;
    JournalPoint point;
    ReadEpochs::Epoch epoch;
  };
  std::map<std::uint64_t, Single> pending;  // by block
  JournalPoint point{1, 0};
  ReadEpochs::Epoch epoch = 1;
  for (unsigned step = 0; step < 200000; ++step) {
    const std::uint64_t pbn = 1000 + random() % 200;
    ASSERT_EQ(frees.contains(Pbn{pbn}), pending.count(pbn) == 1);
    point = {point.sequence + 1, 0};
    if (random() % 3 == 0) ++epoch;
    if (pending.count(pbn) == 0) {
      frees.add(Pbn{pbn}, point, epoch);
      pending[pbn] = {pbn, point, epoch};
    } else if (random() % 2 == 0) {
      frees.take_up(Pbn{pbn});
      pending.erase(pbn);
    } else if (!frees.empty()) {
      const JournalPoint stable = frees.oldest_point();
      const ReadEpochs::Epoch over = frees.oldest_epoch();
      for (const std::uint64_t block : pop(frees)) {
        ASSERT_EQ(pending.count(block), 1U);
        // Nothing becomes free before its own time.
        ASSERT_LE(pending[block].point, stable);
        ASSERT_LE(pending[block].epoch, over);
        pending.erase(block);
      }
      // And what is left waits for as much at least.
      for (const auto& [block, single] : pending) ASSERT_GE(single.point, stable);
    }
    ASSERT_EQ(frees.size(), pending.size());
  }
}

}  // namespace
}  // namespace uvdo
