// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/read_epochs.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(ReadEpochs, WhatIsRetiredIsOverWhenEarlierReadersHaveLeft) {
  ReadEpochs epochs;
  EXPECT_TRUE(epochs.is_over(epochs.retire()));
  const auto first = epochs.enter();
  const auto retired = epochs.retire();
  const auto second = epochs.enter();  // begins after: it cannot see what was retired
  EXPECT_FALSE(epochs.is_over(retired));
  epochs.leave(first);
  EXPECT_TRUE(epochs.is_over(retired));
  const auto later = epochs.retire();
  EXPECT_FALSE(epochs.is_over(later));
  epochs.leave(second);
  EXPECT_TRUE(epochs.is_over(later));
}

TEST(ReadEpochs, AnOldReaderHoldsBackAllThatWasRetiredSince) {
  ReadEpochs epochs;
  const auto old = epochs.enter();
  const auto a = epochs.retire();
  const auto b_reader = epochs.enter();
  const auto b = epochs.retire();
  epochs.leave(b_reader);
  EXPECT_FALSE(epochs.is_over(a));
  EXPECT_FALSE(epochs.is_over(b));
  epochs.leave(old);
  EXPECT_TRUE(epochs.is_over(a));
  EXPECT_TRUE(epochs.is_over(b));
}

}  // namespace
}  // namespace uvdo
