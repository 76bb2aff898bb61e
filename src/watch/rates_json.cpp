// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/rates_json.h"

#include <array>
#include <string>

#include "watch/health.h"

namespace uvdo {
namespace {

Json to_json(const RequestRate& rate) {
  Json json = {{"perSecond", rate.per_second},
               {"bytesPerSecond", rate.bytes_per_second},
               {"inFlight", rate.in_flight}};
  constexpr std::array<std::pair<const char*, double>, 4> kPercentiles{
      {{"us50", 50}, {"us90", 90}, {"us99", 99}, {"us99.9", 99.9}}};
  for (const auto& [key, percent] : kPercentiles) {
    json[key] =
        rate.latencies.count() == 0 ? Json(nullptr) : Json(rate.latencies.percentile(percent));
  }
  return json;
}

Json device_json(const Rates& rates) {
  return {{"readsPerSecond", rates.device_reads},
          {"writesPerSecond", rates.device_writes},
          {"flushesPerSecond", rates.device_flushes},
          {"readBytesPerSecond", rates.device_read_bytes},
          {"writtenBytesPerSecond", rates.device_written_bytes},
          {"busy", rates.device_busy},
          {"inFlight", rates.device_queue}};
}

}  // namespace

Json space_json(const Snapshot& now) {
  const VolumeStatistics& s = now.statistics;
  const Activity& a = now.activity;
  const auto used = room_used(s);
  return {{"roomBytes", room_for_data(s) * s.block_size},
          {"roomUsedBytes", used ? Json(*used * s.block_size) : Json(nullptr)},
          {"fillBytesPerSecond", a.fill_bytes_per_second},
          {"fillSeconds", a.fill_seconds},
          {"secondsUntilFull", a.until_full ? Json(a.until_full->count()) : Json(nullptr)}};
}

// The keys are those of docs/watching.md: scripts read them.
Json to_json(const Rates& rates, const Snapshot& now) {
  auto requests = Json::object();
  for (const RequestKind kind : kRequestKinds) {
    requests[std::string(name_of(kind))] = to_json(rates.of(kind));
  }
  return {{"seconds", rates.seconds},
          {"mode", std::string(name_of(condition_of(now.statistics)))},
          {"requests", std::move(requests)},
          {"device", device_json(rates)},
          {"space", space_json(now)},
          {"duplicatesPerSecond", rates.deduplicated},
          {"compressedPerSecond", rates.compressed},
          {"processors", rates.cpu},
          {"metadataThread", rates.thread_cpu},
          {"mapMisses", rates.map_misses},
          {"journalUsed", rates.journal_used},
          {"buffersUsed", rates.buffers_used},
          {"clients", now.activity.clients},
          {"heldUpBy", rates.bottleneck}};
}

}  // namespace uvdo
