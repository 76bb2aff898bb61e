// SPDX-License-Identifier: GPL-2.0-or-later
// What a served volume is doing: counts, times and latencies since its start, from which rates are
// made by comparing two of them. Travels over the control socket as JSON.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/json_fields.h"
#include "base/latency_histogram.h"
#include "base/result.h"
#include "block/request_times.h"
#include "device/device_activity.h"

namespace uvdo {

/// Requests of one kind, as RequestTimes counts them.
struct RequestActivity {
  LatencyHistogram latencies;
  std::uint64_t bytes = 0;
  std::uint64_t in_flight = 0;  ///< now
  std::uint64_t total_ns = 0;
};

/// How the volume stands with the file system or thin disk beneath it.
struct RoomBeneath {
  std::string state = "open";  ///< open, waiting, refusing (device/room_gate.h)
  std::uint64_t shortages = 0;
  std::uint64_t waiting_writes = 0;
  std::uint64_t waiting_bytes = 0;
  std::uint64_t free_bytes = 0;      ///< of the file system; 0 on a device, as is the next
  std::uint64_t may_take_bytes = 0;  ///< what the volume's file may take of it
};

/// All counters begin with the server; a difference of two is what happened in between.
struct Activity {
  std::uint64_t uptime_us = 0;
  std::uint64_t cpu_us = 0;         ///< of the process, user and system
  std::uint64_t thread_cpu_us = 0;  ///< of the thread that has the metadata
  /// By RequestKind.
  std::array<RequestActivity, kRequestKinds.size()> requests;
  DeviceActivity device;
  RoomBeneath room_beneath;
  std::uint64_t clients = 0;
  std::uint64_t journal_blocks_in_use = 0;
  std::uint64_t journal_blocks = 0;
  unsigned watermark = 0;  ///< the highest mark of the room for data that is passed; 0: none
  double fill_bytes_per_second = 0;
  std::uint64_t fill_seconds = 0;  ///< the time over which that was seen; 0: there is no rate yet
  /// Nothing: the room does not fill.
  std::optional<std::chrono::seconds> until_full;

  [[nodiscard]] const RequestActivity& of(RequestKind kind) const {
    return requests[static_cast<std::size_t>(kind)];
  }
};

/// Keys that are missing keep their defaults.
template <>
struct JsonCodec<Activity> {
  static Json write(const Activity& activity);
  static std::optional<Activity> read(const Json& json);
};

}  // namespace uvdo
