// SPDX-License-Identifier: GPL-2.0-or-later
// How long the requests of clients take in the volume, by kind: from the call to the answer. Costs
// a request two looks at the cycle counter and a place in a histogram. Reads and writes longer than
// 128 KiB count as several, as they are carried out; a read that is answered in parts, and what has
// no data, as one.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/cycle_clock.h"
#include "base/latency_histogram.h"

namespace uvdo {

/// Writing of zeroes counts as discard: neither has data.
enum class RequestKind : std::uint8_t { read, write, discard, flush };
inline constexpr std::array kRequestKinds{RequestKind::read, RequestKind::write,
                                          RequestKind::discard, RequestKind::flush};

[[nodiscard]] constexpr std::string_view name_of(RequestKind kind) {
  switch (kind) {
    case RequestKind::read: return "read";
    case RequestKind::write: return "write";
    case RequestKind::discard: return "discard";
    case RequestKind::flush: return "flush";
  }
  return "unknown";
}

/// One for all front ends of a volume, on the volume's thread; spans must not outlive it.
class RequestTimes {
 public:
  struct Kind {
    LatencyHistogram latencies;
    std::uint64_t bytes = 0;      ///< of requests that were begun
    std::uint64_t in_flight = 0;  ///< requests, now
    std::uint64_t total_ns = 0;   ///< of all latencies
  };

  /// Measures from its making to its end. Without `times` it does nothing.
  class Span {
   public:
    Span(RequestTimes* times, RequestKind kind, std::uint64_t bytes) : times_(times), kind_(kind) {
      if (times_ == nullptr) return;
      start_ = times_->clock_.now();
      Kind& figures = times_->of(kind_);
      ++figures.in_flight;
      figures.bytes += bytes;
    }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;
    ~Span() {
      if (times_ == nullptr) return;
      Kind& figures = times_->of(kind_);
      --figures.in_flight;
      const std::uint64_t ns = times_->clock_.since(start_);
      figures.total_ns += ns;
      figures.latencies.add(std::chrono::nanoseconds(ns));
    }

   private:
    RequestTimes* times_;
    RequestKind kind_;
    std::uint64_t start_ = 0;
  };

  [[nodiscard]] const Kind& of(RequestKind kind) const {
    return kinds_[static_cast<std::size_t>(kind)];
  }

 private:
  [[nodiscard]] Kind& of(RequestKind kind) { return kinds_[static_cast<std::size_t>(kind)]; }
  CycleClock clock_;
  std::array<Kind, kRequestKinds.size()> kinds_;
};

}  // namespace uvdo
