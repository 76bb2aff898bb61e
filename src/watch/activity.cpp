// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/activity.h"

#include <algorithm>

namespace uvdo {

/// Pairs of nanoseconds and how many took that long.
template <>
struct JsonCodec<LatencyHistogram> {
  static Json write(const LatencyHistogram& histogram) {
    Json json = Json::array();
    histogram.for_each([&](std::uint64_t ns, std::uint64_t count) {
      json.push_back(Json::array({ns, count}));
    });
    return json;
  }
  static std::optional<LatencyHistogram> read(const Json& json) {
    if (!json.is_array()) return std::nullopt;
    LatencyHistogram histogram;
    for (const Json& bucket : json) {
      if (!bucket.is_array() || bucket.size() != 2 || !bucket[0].is_number_unsigned() ||
          !bucket[1].is_number_unsigned()) {
        return std::nullopt;
      }
      // A server could tell more than fits: the histogram takes what it is given as a duration.
      constexpr auto kMost = static_cast<std::uint64_t>(std::chrono::nanoseconds::max().count());
      const std::uint64_t ns = std::min(bucket[0].get<std::uint64_t>(), kMost);
      histogram.add(std::chrono::nanoseconds(ns), bucket[1].get<std::uint64_t>());
    }
    return histogram;
  }
};

namespace {

template <class Requests, class Visitor>
void visit_requests(Requests& requests, Visitor& v) {
  v.derived("count", requests.latencies.count());
  v.value("bytes", requests.bytes);
  v.value("inFlight", requests.in_flight);
  v.value("totalNs", requests.total_ns);
  v.value("latencies", requests.latencies);
}

// The keys of what travels: server and commands have them from here.
template <class Device, class Visitor>
void visit_device(Device& device, Visitor& v) {
  v.value("reads", device.reads);
  v.value("writes", device.writes);
  v.value("flushes", device.flushes);
  v.value("readBytes", device.read_bytes);
  v.value("writtenBytes", device.written_bytes);
  v.value("inFlight", device.in_flight);
  v.value("busyNs", device.busy_ns);
  v.value("waitedNs", device.waited_ns);
  v.value("failedReads", device.failed_reads);
  v.value("failedWrites", device.failed_writes);
  v.value("failedFlushes", device.failed_flushes);
  v.value("foundNoRoom", device.found_no_room);
}

template <class Room, class Visitor>
void visit_room(Room& room, Visitor& v) {
  v.value("state", room.state);
  v.value("shortages", room.shortages);
  v.value("waitingWrites", room.waiting_writes);
  v.value("waitingBytes", room.waiting_bytes);
  v.value("freeBytes", room.free_bytes);
  v.value("mayTakeBytes", room.may_take_bytes);
}

template <class A, class Visitor>
void visit_activity(A& activity, Visitor& v) {
  v.value("uptimeUs", activity.uptime_us);
  v.value("cpuUs", activity.cpu_us);
  v.value("threadCpuUs", activity.thread_cpu_us);
  v.group("requests", [&] {
    for (const RequestKind kind : kRequestKinds) {
      auto& requests = activity.requests[static_cast<std::size_t>(kind)];
      v.group(std::string(name_of(kind)).c_str(), [&] { visit_requests(requests, v); });
    }
  });
  v.group("device", [&] { visit_device(activity.device, v); });
  v.group("roomBeneath", [&] { visit_room(activity.room_beneath, v); });
  v.value("clients", activity.clients);
  v.value("journalBlocksInUse", activity.journal_blocks_in_use);
  v.value("journalBlocks", activity.journal_blocks);
  v.value("watermark", activity.watermark);
  v.value("fillBytesPerSecond", activity.fill_bytes_per_second);
  v.value("fillSeconds", activity.fill_seconds);
  v.value("secondsUntilFull", activity.until_full);
}

}  // namespace

Json JsonCodec<Activity>::write(const Activity& activity) {
  Json json = Json::object();
  JsonFieldWriter writer(json);
  visit_activity(activity, writer);
  return json;
}

std::optional<Activity> JsonCodec<Activity>::read(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  Activity activity;
  JsonFieldReader reader(json);
  visit_activity(activity, reader);
  if (reader.problem()) return std::nullopt;
  return activity;
}

}  // namespace uvdo
