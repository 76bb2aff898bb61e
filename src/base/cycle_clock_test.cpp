// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cycle_clock.h"

#include <chrono>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(CycleClock, GoesAsFastAsTheSystemsClock) {
  const CycleClock clock;
  const auto before = std::chrono::steady_clock::now();
  const std::uint64_t start = clock.now();
  const auto passed = [&] {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - before)
        .count();
  };
  while (passed() < 20e6) {
  }
  const auto measured = static_cast<double>(clock.since(start));
  const double real = passed();
  EXPECT_GT(measured, real * 0.5);
  EXPECT_LT(measured, real * 1.1);
}

TEST(CycleClock, NeverGoesBack) {
  const CycleClock clock;
  EXPECT_EQ(clock.since(clock.now() + (1ULL << 40U)), 0U);
}

}  // namespace
}  // namespace uvdo
