// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace uvdo {

std::size_t LatencyHistogram::bucket_of(std::uint64_t ns) {
  if (ns < (1U << kStepBits)) return ns;
  const auto shift = static_cast<unsigned>(std::bit_width(ns)) - kStepBits - 1;
  return ((std::size_t{shift} + 1) << kStepBits) + (ns >> shift) - (1U << kStepBits);
}

std::uint64_t LatencyHistogram::upper_end(std::size_t bucket) {
  if (bucket < (1U << kStepBits)) return bucket;
  const std::size_t shift = (bucket >> kStepBits) - 1;
  const std::uint64_t step = (bucket & ((1U << kStepBits) - 1)) + (1U << kStepBits);
  return ((step + 1) << shift) - 1;
}

void LatencyHistogram::add(std::chrono::nanoseconds latency) {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(0, latency.count()));
  ++buckets_[bucket_of(ns)];
  ++count_;
  maximum_ = std::max(maximum_, ns);
}

double LatencyHistogram::percentile(double percent) const {
  const auto wanted =
      static_cast<std::uint64_t>(std::ceil(static_cast<double>(count_) * percent / 100));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen > 0 && seen >= wanted) {
      return static_cast<double>(std::min(upper_end(i), maximum_)) / 1000;
    }
  }
  return 0;
}

}  // namespace uvdo
