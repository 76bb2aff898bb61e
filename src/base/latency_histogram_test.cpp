// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/latency_histogram.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

using std::chrono::nanoseconds;

TEST(LatencyHistogram, KnowsNothingWhenEmpty) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.percentile(50), 0);
  EXPECT_EQ(histogram.maximum(), 0);
}

TEST(LatencyHistogram, FindsPercentilesToWithinItsBuckets) {
  std::mt19937_64 random(20261123);
  LatencyHistogram histogram;
  std::vector<std::int64_t> all;
  for (int i = 0; i < 100'000; ++i) {
    // From some nanoseconds to minutes.
    all.push_back(static_cast<std::int64_t>(random() >> (27 + random() % 32)));
    histogram.add(nanoseconds(all.back()));
  }
  std::ranges::sort(all);
  for (const double percent : {1.0, 50.0, 90.0, 99.0, 99.9}) {
    const auto index = static_cast<std::size_t>(percent / 100 * 100'000) - 1;
    const double exact = static_cast<double>(all[index]) / 1000;
    EXPECT_GE(histogram.percentile(percent), exact) << percent;
    EXPECT_LE(histogram.percentile(percent), exact * 1.07 + 0.001) << percent;
  }
  EXPECT_EQ(histogram.maximum(), static_cast<double>(all.back()) / 1000);
  EXPECT_EQ(histogram.percentile(100), histogram.maximum());
}

TEST(LatencyHistogram, KnowsWhatHasComeSince) {
  LatencyHistogram before;
  before.add(std::chrono::microseconds(10), 100);
  before.add(std::chrono::seconds(1), 3);
  LatencyHistogram after = before;
  after.add(std::chrono::microseconds(10), 5);
  after.add(std::chrono::milliseconds(2), 5);
  const LatencyHistogram recent = after.since(before);
  EXPECT_EQ(recent.count(), 10U);
  EXPECT_NEAR(recent.percentile(50), 10, 0.7);
  EXPECT_NEAR(recent.maximum(), 2000, 130);
  EXPECT_EQ(before.since(after).count(), 0U);
}

TEST(LatencyHistogram, ComesBackFromItsBuckets) {
  LatencyHistogram histogram;
  for (std::uint64_t ns = 1; ns < 1'000'000'000'000; ns *= 3)
    histogram.add(nanoseconds(ns), ns % 7 + 1);
  LatencyHistogram copy;
  histogram.for_each([&](std::uint64_t ns, std::uint64_t count) {
    copy.add(nanoseconds(static_cast<std::int64_t>(ns)), count);
  });
  EXPECT_EQ(copy.count(), histogram.count());
  EXPECT_EQ(copy.since(histogram).count(), 0U);
  EXPECT_EQ(histogram.since(copy).count(), 0U);
  EXPECT_EQ(histogram.count_within(nanoseconds::max()), histogram.count());
  EXPECT_EQ(histogram.count_within(nanoseconds(0)), 0U);
  EXPECT_EQ(histogram.count_within(nanoseconds(4)), 2U + 4U);
}

TEST(LatencyHistogram, TakesTheLargestAndTheSmallest) {
  LatencyHistogram histogram;
  histogram.add(nanoseconds::max());
  histogram.add(nanoseconds(-5));
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.percentile(50), 0);
  EXPECT_EQ(histogram.percentile(100), histogram.maximum());
}

}  // namespace
}  // namespace uvdo
