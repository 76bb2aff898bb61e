// SPDX-License-Identifier: GPL-2.0-or-later
// What a served volume is doing: counts, times and latencies since its start, from which rates are
// made by comparing two of them. Travels over the control socket as JSON.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/json.h"
#include "base/latency_histogram.h"
#include "base/result.h"
#include "device/device_activity.h"
#include "serve/request_times.h"

namespace uvdo {

struct RequestActivity {
  LatencyHistogram latencies;
  std::uint64_t bytes = 0;
  std::uint64_t in_flight = 0;  ///< now
  std::uint64_t total_ns = 0;
};

struct Activity {
  std::uint64_t uptime_us = 0;
  std::uint64_t cpu_us = 0;         ///< of the process, user and system
  std::uint64_t thread_cpu_us = 0;  ///< of the thread that has the metadata
  std::array<RequestActivity, kRequestKinds.size()> requests;
  DeviceActivity device;
  std::uint64_t clients = 0;
  std::uint64_t journal_blocks_in_use = 0;
  std::uint64_t journal_blocks = 0;
  unsigned watermark = 0;  ///< the highest mark of the room for data that is passed; 0: none
  double fill_bytes_per_second = 0;
  std::uint64_t fill_seconds = 0;  ///< the time over which that was seen; 0: there is no rate yet
  std::optional<std::chrono::seconds> until_full;

  [[nodiscard]] const RequestActivity& of(RequestKind kind) const {
    return requests[static_cast<std::size_t>(kind)];
  }
};

[[nodiscard]] Json to_json(const Activity& activity);
/// Keys that are missing keep their defaults. protocol: a value of the wrong type.
Result<Activity> activity_from_json(const Json& json);

}  // namespace uvdo
