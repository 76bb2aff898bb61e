// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume did between two looks at it, and what held it up.
#pragma once

#include <array>
#include <string>

#include "statistics/statistics.h"
#include "watch/activity.h"

namespace uvdo {

/// A volume at one moment.
struct Snapshot {
  VolumeStatistics statistics;
  Activity activity;
};

struct RequestRate {
  double per_second = 0;
  double bytes_per_second = 0;
  std::uint64_t in_flight = 0;  ///< at the end
  LatencyHistogram latencies;   ///< of requests that ended in between
};

/// Figures for people and scripts, of the time between two looks unless they say otherwise.
struct Rates {
  double seconds = 0;
  std::array<RequestRate, kRequestKinds.size()> requests;
  double device_reads = 0;  ///< per second; so are the next four
  double device_writes = 0;
  double device_flushes = 0;
  double device_read_bytes = 0;
  double device_written_bytes = 0;
  double device_busy = 0;   ///< part of the time, 0..1
  double device_queue = 0;  ///< requests in flight on average
  double cpu = 0;           ///< processors used
  double thread_cpu = 0;    ///< of one, by the metadata thread: 0..1
  double map_misses = 0;    ///< part of the look-ups in the block map that read a page
  double journal_used = 0;  ///< part of the recovery journal in use at the end
  double buffers_used = 0;  ///< part of the memory for data in flight in use at the end
  double deduplicated = 0;  ///< blocks per second that were found to be duplicates
  double compressed = 0;    ///< fragments per second that were written
  std::string bottleneck;   ///< what holds it up: a few words

  [[nodiscard]] const RequestRate& of(RequestKind kind) const {
    return requests[static_cast<std::size_t>(kind)];
  }
};

/// `after` is the later one, of the same start of the server. A counter that has fallen counts as
/// one that has not moved.
[[nodiscard]] Rates rates_between(const Snapshot& before, const Snapshot& after);

}  // namespace uvdo
