// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cycle_clock.h"

#include <chrono>
#include <string>

#include "base/first_line.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kCalibration = 1'000'000;  // ns

/// Where the kernel does not keep time by the counter, it does not go evenly, or not everywhere.
bool is_trusted() {
#if defined(__aarch64__)
  return true;
#else
  const std::string source =
      first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  return source == "tsc" || source == "kvm-clock" || source.starts_with("hyperv");
#endif
}

}  // namespace

std::uint64_t CycleClock::nanoseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

double CycleClock::calibrate() {
  if (!is_trusted()) return 0;
  const std::uint64_t start = nanoseconds();
  const std::uint64_t first = cycles();
  std::uint64_t end = start;
  while (end - start < kCalibration) end = nanoseconds();
  const std::uint64_t last = cycles();
  return last > first ? static_cast<double>(end - start) / static_cast<double>(last - first) : 0;
}

CycleClock::CycleClock() {
  static const double ns_per_cycle = calibrate();
  counts_cycles_ = ns_per_cycle > 0;
  ns_per_count_ = counts_cycles_ ? ns_per_cycle : 1;
}

}  // namespace uvdo
