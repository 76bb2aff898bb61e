// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/stopwatch.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr double kMillisecond = 1e-3;

TEST(Stopwatch, CountsTimeThatIsSleptAndNoProcessorTimeForIt) {
  const Stopwatch watch;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_GE(watch.seconds(), 50 * kMillisecond);
  EXPECT_LT(watch.processor(), 40 * kMillisecond);
}

TEST(Stopwatch, CountsTheWorkOfAllThreads) {
  const Stopwatch watch;
  std::thread([&watch] {
    while (watch.user() < 5 * kMillisecond) {
    }
  }).join();
  EXPECT_GE(watch.processor(), 5 * kMillisecond);
  EXPECT_GE(watch.processor(), watch.system());
}

}  // namespace
}  // namespace uvdo
