// SPDX-License-Identifier: GPL-2.0-or-later
#include "statistics/statistics_state.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(StatisticsState, OfARecoveryLeavesTheUseUnknown) {
  VolumeStatistics statistics;
  EXPECT_FALSE(is_recovering(statistics));
  EXPECT_TRUE(is_use_known(statistics));
  statistics.in_recovery_mode = true;
  EXPECT_TRUE(is_recovering(statistics));
  EXPECT_FALSE(is_use_known(statistics));
  statistics = {};
  statistics.mode = OperatingMode::recovering;
  EXPECT_TRUE(is_recovering(statistics));
}

TEST(StatisticsState, AfterAnErrorTheUseIsKnownIfItWasCounted) {
  VolumeStatistics statistics;
  statistics.mode = OperatingMode::read_only;
  statistics.extra.is_counted = false;
  EXPECT_FALSE(is_use_known(statistics));
  statistics.extra.is_counted = true;
  EXPECT_TRUE(is_use_known(statistics));
}

}  // namespace
}  // namespace uvdo
