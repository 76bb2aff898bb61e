// SPDX-License-Identifier: GPL-2.0-or-later
// Latencies by their size, in buckets that are 6 % wide: any number of them in constant memory.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace uvdo {

class LatencyHistogram {
 public:
  void add(std::chrono::nanoseconds latency);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// The latency in microseconds that a share of `percent` (0..100) of all do not exceed; 0 if
  /// there are none. Right to 6 %.
  [[nodiscard]] double percentile(double percent) const;
  /// Microseconds, exact.
  [[nodiscard]] double maximum() const { return static_cast<double>(maximum_) / 1000; }

 private:
  static constexpr unsigned kStepBits = 4;  // 16 buckets for each power of two
  static std::size_t bucket_of(std::uint64_t ns);
  static std::uint64_t upper_end(std::size_t bucket);

  std::array<std::uint64_t, std::size_t{65 - kStepBits} << kStepBits> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t maximum_ = 0;  // ns
};

}  // namespace uvdo
