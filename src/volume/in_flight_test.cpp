// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/in_flight.h"

#include <array>

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

TEST(InFlightTest, WhatWasLostIsGivenToReadersAndWhatIsBeingWrittenGoesFirst) {
  SimExecutor executor({.seed = 1});
  InFlight in_flight(executor, 4);
  const std::array<std::byte, kBlockSize> lost{std::byte{1}};
  const std::array<std::byte, kBlockSize> newer{std::byte{2}};
  EXPECT_EQ(in_flight.newer_data(Lbn{7}), nullptr);

  in_flight.keep_lost(Lbn{7}, lost.data());
  EXPECT_EQ(in_flight.lost_blocks(), 1U);
  ASSERT_NE(in_flight.newer_data(Lbn{7}), nullptr);
  EXPECT_EQ(*in_flight.newer_data(Lbn{7}), std::byte{1});

  ASSERT_TRUE(in_flight.locks().try_lock(Lbn{7}));
  in_flight.locks().publish(Lbn{7}, newer.data());
  EXPECT_EQ(*in_flight.newer_data(Lbn{7}), std::byte{2});
  in_flight.locks().unlock(Lbn{7});
  EXPECT_EQ(*in_flight.newer_data(Lbn{7}), std::byte{1});
}

}  // namespace
}  // namespace uvdo
