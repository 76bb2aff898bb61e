// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger/savings_counter.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr Lbn kSomewhere{0};

TEST(SavingsCounter, FragmentsCountOnceHoweverManyBlocksReferToThem) {
  SavingsCounter counter;
  counter.begin();
  counter.complete();
  const auto fragment = mapped_to_fragment(Pbn{1000}, 3);
  counter.changed(kSomewhere, kUnmapped, fragment);
  counter.changed(kSomewhere, kMappedZero, fragment);
  counter.changed(kSomewhere, mapped_to(Pbn{9}), mapped_to_fragment(Pbn{1000}, 4));
  EXPECT_EQ(counter.fragments_mapped(), 3U);
  EXPECT_EQ(counter.fragments(), 2U);
  EXPECT_EQ(counter.compressed_blocks(), 1U);
  counter.changed(kSomewhere, fragment, kUnmapped);
  EXPECT_EQ(counter.fragments(), 2U);
  counter.changed(kSomewhere, fragment, kUnmapped);
  counter.changed(kSomewhere, mapped_to_fragment(Pbn{1000}, 4), kUnmapped);
  EXPECT_EQ(counter.fragments(), 0U);
  EXPECT_EQ(counter.compressed_blocks(), 0U);
}

TEST(SavingsCounter, TakesWhatADamagedMapHolds) {
  SavingsCounter counter;
  counter.begin();
  counter.complete();
  // An entry that led beyond the volume when the walk met it, and does no longer: growth.
  const auto fragment = mapped_to_fragment(Pbn{1000}, 3);
  counter.changed(kSomewhere, fragment, kUnmapped);
  EXPECT_EQ(counter.fragments_mapped(), 0U);
  EXPECT_EQ(counter.fragments(), 0U);
  counter.changed(kSomewhere, kMappedZero, kUnmapped);
  EXPECT_EQ(counter.zero_blocks(), 0U);
  counter.changed(kSomewhere, kUnmapped, mapped_to_fragment(Pbn{1000}, 4));
  counter.changed(kSomewhere, fragment, kUnmapped);
  EXPECT_EQ(counter.fragments(), 1U) << "of a block that is known, but not that fragment";
  // More entries than references.
  constexpr int kMany = 1000;
  for (int i = 0; i < kMany; ++i) counter.changed(kSomewhere, kUnmapped, fragment);
  for (int i = 0; i < kMany; ++i) counter.changed(kSomewhere, fragment, kUnmapped);
  EXPECT_LE(counter.fragments(), 2U);
  EXPECT_LE(counter.fragments_mapped(), 1U);
}

TEST(SavingsCounter, ChangesAheadOfTheWalkAreLeftToIt) {
  SavingsCounter counter;
  counter.changed(kSomewhere, kUnmapped, kMappedZero);
  EXPECT_EQ(counter.zero_blocks(), 0U) << "nobody has asked yet";
  counter.begin();
  const PageNumber page = page_of(2, 5);
  const auto place = SavingsCounter::position(2, 5);
  counter.watch();
  counter.changed(first_lbn(page), kUnmapped, kMappedZero);
  EXPECT_EQ(counter.zero_blocks(), 0U);
  EXPECT_FALSE(counter.has_missed(place)) << "the walk is going to look at that leaf itself";
  EXPECT_TRUE(counter.has_missed(place + 1));
  counter.add(kMappedZero);
  counter.advance(place + 1);
  EXPECT_EQ(counter.zero_blocks(), 1U);
  counter.changed(first_lbn(page), kMappedZero, kUnmapped);
  EXPECT_EQ(counter.zero_blocks(), 0U);
}

TEST(SavingsCounter, AFullTableGoesOnAsASample) {
  SavingsCounter counter;
  counter.begin();
  counter.complete();
  constexpr std::uint64_t kBlocks = 10 * SavingsCounter::kMostBlocks;
  for (std::uint64_t pbn = 1; pbn <= kBlocks; ++pbn) {
    counter.changed(kSomewhere, kUnmapped, mapped_to_fragment(Pbn{pbn}, 0));
    counter.changed(kSomewhere, kUnmapped, mapped_to_fragment(Pbn{pbn}, 13));
  }
  EXPECT_EQ(counter.fragments_mapped(), 2 * kBlocks);
  const auto near = [](std::uint64_t estimate, std::uint64_t truth) {
    return estimate > truth - truth / 100 && estimate < truth + truth / 100;
  };
  EXPECT_TRUE(near(counter.compressed_blocks(), kBlocks)) << counter.compressed_blocks();
  EXPECT_TRUE(near(counter.fragments(), 2 * kBlocks)) << counter.fragments();
  for (std::uint64_t pbn = 1; pbn <= kBlocks; ++pbn) {
    counter.changed(kSomewhere, mapped_to_fragment(Pbn{pbn}, 0), kUnmapped);
    counter.changed(kSomewhere, mapped_to_fragment(Pbn{pbn}, 13), kUnmapped);
  }
  EXPECT_EQ(counter.compressed_blocks(), 0U);
  EXPECT_EQ(counter.fragments_mapped(), 0U);
}

}  // namespace
}  // namespace uvdo
