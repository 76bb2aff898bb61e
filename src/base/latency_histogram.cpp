// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace uvdo {

/// Up to 15 ns each number has a bucket. Above, the highest bit that is set chooses a group of 16,
/// and the four bits behind it one of the group.
std::size_t LatencyHistogram::bucket_of(std::uint64_t ns) {
  if (ns < (1U << kStepBits)) return ns;
  const auto shift = static_cast<unsigned>(std::bit_width(ns)) - kStepBits - 1;
  return ((std::size_t{shift} + 1) << kStepBits) + (ns >> shift) - (1U << kStepBits);
}

/// The largest number for which bucket_of() gives `bucket`.
std::uint64_t LatencyHistogram::upper_end(std::size_t bucket) {
  if (bucket < (1U << kStepBits)) return bucket;
  const std::size_t shift = (bucket >> kStepBits) - 1;
  const std::uint64_t step = (bucket & ((1U << kStepBits) - 1)) + (1U << kStepBits);
  return ((step + 1) << shift) - 1;
}

void LatencyHistogram::add(std::chrono::nanoseconds latency, std::uint64_t count) {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(0, latency.count()));
  buckets_[bucket_of(ns)] += count;
  count_ += count;
  maximum_ = std::max(maximum_, ns);
}

std::uint64_t LatencyHistogram::count_within(std::chrono::nanoseconds latency) const {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(0, latency.count()));
  std::uint64_t within = 0;
  for (std::size_t i = 0; i <= bucket_of(ns); ++i) within += buckets_[i];
  return within;
}

LatencyHistogram LatencyHistogram::since(const LatencyHistogram& earlier) const {
  LatencyHistogram recent;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const std::uint64_t count = buckets_[i] - std::min(buckets_[i], earlier.buckets_[i]);
    if (count == 0) continue;
    recent.buckets_[i] = count;
    recent.count_ += count;
    recent.maximum_ = std::min(upper_end(i), maximum_);
  }
  return recent;
}

double LatencyHistogram::percentile(double percent) const {
  const auto wanted =
      static_cast<std::uint64_t>(std::ceil(static_cast<double>(count_) * percent / 100));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen > 0 && seen >= wanted) {
      // What the last bucket ends with may be more than was ever seen.
      return static_cast<double>(std::min(upper_end(i), maximum_)) / 1000;
    }
  }
  return 0;
}

}  // namespace uvdo
