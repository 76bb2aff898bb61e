// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/sample_margin.h"

#include <vector>

#include <gtest/gtest.h>

#include "base/block_types.h"
#include "estimate/size_guesser.h"

namespace uvdo {
namespace {

TEST(SampleMargin, IsNoneWhereNothingWasGuessed) {
  SampleMargin margin;
  margin.add_piece(64, 10);
  EXPECT_EQ(margin.half_width(), 0);
}

TEST(SampleMargin, IsAllWhereNothingIsKnownOfTheGuesses) {
  SampleMargin margin;
  margin.add_piece(64, 0);
  margin.add_guessed(1000);
  EXPECT_EQ(margin.half_width(), 1000);
}

TEST(SampleMargin, IsWiderForErrorsOfWholePieces) {
  SampleMargin apart;
  SampleMargin together;
  for (unsigned i = 0; i < 100; ++i) {
    apart.add_piece(64, i % 2 == 0 ? 8 : -8);
    together.add_piece(64, i % 2 == 0 ? 64 : -64);
  }
  apart.add_guessed(64 * 900);
  together.add_guessed(64 * 900);
  EXPECT_NEAR(together.half_width(), 8 * apart.half_width(), 1e-6);
}

TEST(SampleMargin, SumsUpThreads) {
  SampleMargin all;
  SampleMargin first;
  SampleMargin second;
  for (unsigned i = 0; i < 10; ++i) {
    all.add_piece(64, i);
    (i < 5 ? first : second).add_piece(64, i);
  }
  all.add_guessed(1000);
  second.add_guessed(1000);
  first.add(second);
  EXPECT_EQ(first.pieces(), 10U);
  EXPECT_DOUBLE_EQ(first.half_width(), all.half_width());
}

TEST(SampleMargin, HasTheQuantilesOfStudent) {
  EXPECT_NEAR(t_of_95_percent(1), 12.706, 0.01);
  EXPECT_NEAR(t_of_95_percent(6), 2.447, 0.03);
  EXPECT_NEAR(t_of_95_percent(10), 2.228, 0.02);
  EXPECT_NEAR(t_of_95_percent(1000000), 1.96, 0.001);
}

TEST(SizeGuesser, TakesTheSizesOfAKindInTurn) {
  SizeGuesser guesser;
  EXPECT_FALSE(guesser.guess(1));
  guesser.learn(1, 0);
  guesser.learn(1, 1000);
  guesser.learn(2, 2000);
  EXPECT_EQ(guesser.guess(1), 0U);
  EXPECT_EQ(guesser.guess(1), 1000U);
  EXPECT_EQ(guesser.guess(1), 0U);
  EXPECT_EQ(guesser.guess(2), 2000U);
}

TEST(SizeGuesser, ForgetsWhatIsFarAway) {
  SizeGuesser guesser;
  for (unsigned i = 0; i < 1000; ++i) guesser.learn(1, 1000);
  for (unsigned i = 0; i < 64; ++i) guesser.learn(1, 2000);
  for (unsigned i = 0; i < 100; ++i) ASSERT_EQ(guesser.guess(1), 2000U) << i;
}

TEST(SizeGuesser, KnowsNoiseFromText) {
  std::vector<std::byte> all(kBlockSize);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<std::byte>(i / 512 * 32 + i % 32);
  const std::vector<std::byte> one(kBlockSize);
  EXPECT_NE(SizeGuesser::kind_of(all.data()), SizeGuesser::kind_of(one.data()));
}

}  // namespace
}  // namespace uvdo
