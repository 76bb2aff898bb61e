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
  void add(std::chrono::nanoseconds latency, std::uint64_t count = 1);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// The latency in microseconds that a share of `percent` (0..100) of all do not exceed; 0 if
  /// there are none. Right to 6 %.
  [[nodiscard]] double percentile(double percent) const;
  /// Microseconds, exact.
  [[nodiscard]] double maximum() const { return static_cast<double>(maximum_) / 1000; }
  /// How many did not take longer than this; right to 6 % of it.
  [[nodiscard]] std::uint64_t count_within(std::chrono::nanoseconds latency) const;

  /// Calls f(ns, count) for each bucket that holds any, in ascending order; add() of `ns` leads to
  /// the same bucket again.
  template <class F>
  void for_each(F&& f) const {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i] > 0) f(upper_end(i), buckets_[i]);
    }
  }
  /// Those that have come since `earlier`, an older state of this; the maximum is right to 6 %.
  [[nodiscard]] LatencyHistogram since(const LatencyHistogram& earlier) const;

 private:
  static constexpr unsigned kStepBits = 4;  // 16 buckets for each power of two
  static std::size_t bucket_of(std::uint64_t ns);
  static std::uint64_t upper_end(std::size_t bucket);

  std::array<std::uint64_t, std::size_t{65 - kStepBits} << kStepBits> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t maximum_ = 0;  // ns
};

}  // namespace uvdo
