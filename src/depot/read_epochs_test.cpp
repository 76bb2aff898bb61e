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

TEST(ReadEpochs, WhatIsRetiredIsNotHeldBackByThoseWhoReadLater) {
  ReadEpochs epochs;
  int over = 0;
  epochs.on_over([&] { ++over; });
  const auto before = epochs.enter();
  const auto first = epochs.retire();
  const auto second = epochs.retire();  // nobody has begun to read in between
  auto reader = epochs.enter();
  epochs.leave(before);
  EXPECT_EQ(over, 1);
  EXPECT_TRUE(epochs.is_over(first));
  EXPECT_TRUE(epochs.is_over(second));
  // Somebody reads all the time, and nothing else is freed.
  const auto last = epochs.retire();
  EXPECT_EQ(epochs.retire(), last);
  for (int i = 0; i < 10; ++i) {
    const auto next = epochs.enter();
    epochs.leave(reader);
    reader = next;
    EXPECT_TRUE(epochs.is_over(last));
  }
  epochs.leave(reader);
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
