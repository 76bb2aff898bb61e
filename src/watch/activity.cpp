// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/activity.h"

namespace uvdo {

namespace {

Json to_json(const LatencyHistogram& histogram) {
  Json json = Json::array();
  histogram.for_each([&](std::uint64_t ns, std::uint64_t count) {
    json.push_back(Json::array({ns, count}));
  });
  return json;
}

/// Reads members of an object; a wrong one is remembered, not thrown.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json), good_(json.is_object()) {}
  template <class T>
  void number(const char* key, T& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_number() || (std::is_unsigned_v<T> && !found->is_number_unsigned())) {
      good_ = false;
      return;
    }
    value = found->get<T>();
  }
  void text(const char* key, std::string& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_string()) {
      value = found->get<std::string>();
    } else {
      good_ = false;
    }
  }
  void histogram(const char* key, LatencyHistogram& histogram) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (!found->is_array()) good_ = false;
    for (const Json& bucket : *found) {
      if (!good_ || !bucket.is_array() || bucket.size() != 2 || !bucket[0].is_number_unsigned() ||
          !bucket[1].is_number_unsigned()) {
        good_ = false;
        return;
      }
      const std::uint64_t ns = bucket[0].get<std::uint64_t>();
      constexpr auto kMost = static_cast<std::uint64_t>(std::chrono::nanoseconds::max().count());
      histogram.add(std::chrono::nanoseconds(std::min(ns, kMost)), bucket[1].get<std::uint64_t>());
    }
  }
  [[nodiscard]] const Json* find(const char* key) const {
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] bool good() const { return good_; }

 private:
  const Json& json_;
  bool good_;
};

}  // namespace

Json to_json(const Activity& a) {
  Json requests = Json::object();
  for (const RequestKind kind : kRequestKinds) {
    const RequestActivity& r = a.of(kind);
    requests[std::string(name_of(kind))] = {{"count", r.latencies.count()},
                                            {"bytes", r.bytes},
                                            {"inFlight", r.in_flight},
                                            {"totalNs", r.total_ns},
                                            {"latencies", to_json(r.latencies)}};
  }
  const DeviceActivity& d = a.device;
  return {{"uptimeUs", a.uptime_us},
          {"cpuUs", a.cpu_us},
          {"threadCpuUs", a.thread_cpu_us},
          {"requests", std::move(requests)},
          {"device",
           {{"reads", d.reads},
            {"writes", d.writes},
            {"flushes", d.flushes},
            {"readBytes", d.read_bytes},
            {"writtenBytes", d.written_bytes},
            {"inFlight", d.in_flight},
            {"busyNs", d.busy_ns},
            {"waitedNs", d.waited_ns},
            {"failedReads", d.failed_reads},
            {"failedWrites", d.failed_writes},
            {"failedFlushes", d.failed_flushes},
            {"foundNoRoom", d.found_no_room}}},
          {"roomBeneath",
           {{"state", a.room_beneath.state},
            {"shortages", a.room_beneath.shortages},
            {"waitingWrites", a.room_beneath.waiting_writes},
            {"waitingBytes", a.room_beneath.waiting_bytes},
            {"freeBytes", a.room_beneath.free_bytes},
            {"mayTakeBytes", a.room_beneath.may_take_bytes}}},
          {"clients", a.clients},
          {"journalBlocksInUse", a.journal_blocks_in_use},
          {"journalBlocks", a.journal_blocks},
          {"watermark", a.watermark},
          {"fillBytesPerSecond", a.fill_bytes_per_second},
          {"fillSeconds", a.fill_seconds},
          {"secondsUntilFull", a.until_full ? Json(a.until_full->count()) : Json(nullptr)}};
}

Result<Activity> activity_from_json(const Json& json) {
  Activity a;
  Reader reader(json);
  bool good = reader.good();
  reader.number("uptimeUs", a.uptime_us);
  reader.number("cpuUs", a.cpu_us);
  reader.number("threadCpuUs", a.thread_cpu_us);
  reader.number("clients", a.clients);
  reader.number("journalBlocksInUse", a.journal_blocks_in_use);
  reader.number("journalBlocks", a.journal_blocks);
  reader.number("watermark", a.watermark);
  reader.number("fillBytesPerSecond", a.fill_bytes_per_second);
  reader.number("fillSeconds", a.fill_seconds);
  if (reader.find("secondsUntilFull") != nullptr) {
    std::uint64_t seconds = 0;
    reader.number("secondsUntilFull", seconds);
    a.until_full = std::chrono::seconds(static_cast<std::int64_t>(seconds));
  }
  if (const Json* requests = reader.find("requests")) {
    for (const RequestKind kind : kRequestKinds) {
      const auto found = requests->find(std::string(name_of(kind)));
      if (found == requests->end()) continue;
      RequestActivity& r = a.requests[static_cast<std::size_t>(kind)];
      Reader part(*found);
      part.number("bytes", r.bytes);
      part.number("inFlight", r.in_flight);
      part.number("totalNs", r.total_ns);
      part.histogram("latencies", r.latencies);
      good = good && part.good();
    }
  }
  if (const Json* device = reader.find("device")) {
    DeviceActivity& d = a.device;
    Reader part(*device);
    part.number("reads", d.reads);
    part.number("writes", d.writes);
    part.number("flushes", d.flushes);
    part.number("readBytes", d.read_bytes);
    part.number("writtenBytes", d.written_bytes);
    part.number("inFlight", d.in_flight);
    part.number("busyNs", d.busy_ns);
    part.number("waitedNs", d.waited_ns);
    part.number("failedReads", d.failed_reads);
    part.number("failedWrites", d.failed_writes);
    part.number("failedFlushes", d.failed_flushes);
    part.number("foundNoRoom", d.found_no_room);
    good = good && part.good();
  }
  if (const Json* room = reader.find("roomBeneath")) {
    RoomBeneath& r = a.room_beneath;
    Reader part(*room);
    part.text("state", r.state);
    part.number("shortages", r.shortages);
    part.number("waitingWrites", r.waiting_writes);
    part.number("waitingBytes", r.waiting_bytes);
    part.number("freeBytes", r.free_bytes);
    part.number("mayTakeBytes", r.may_take_bytes);
    good = good && part.good();
  }
  if (!good || !reader.good()) {
    return Error(Errc::protocol, "what the server says of its activity cannot be understood");
  }
  return a;
}

}  // namespace uvdo
