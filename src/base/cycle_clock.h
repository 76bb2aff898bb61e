// SPDX-License-Identifier: GPL-2.0-or-later
// A clock for measuring how long things take at a cost of a few nanoseconds: the processor's cycle
// counter where the kernel trusts it as a clock, else the system's monotonic clock. It decides
// nothing: what depends on time asks an Executor.
#pragma once

#include <cstdint>

namespace uvdo {

class CycleClock {
 public:
  /// Calibrates itself once in the life of the process, which takes a millisecond.
  CycleClock();

  /// A point in time.
  [[nodiscard]] std::uint64_t now() const { return counts_cycles_ ? cycles() : nanoseconds(); }
  /// Nanoseconds from `start` to `end`; never less than 0.
  [[nodiscard]] std::uint64_t between(std::uint64_t start, std::uint64_t end) const {
    const auto passed = static_cast<std::int64_t>(end - start);
    return passed < 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(passed) * ns_per_count_);
  }
  [[nodiscard]] std::uint64_t since(std::uint64_t start) const { return between(start, now()); }

 private:
  static std::uint64_t cycles() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    std::uint64_t count = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
    return nanoseconds();
#endif
  }
  static std::uint64_t nanoseconds();
  static double calibrate();

  bool counts_cycles_;
  double ns_per_count_;
};

}  // namespace uvdo
