// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/history.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "watch/health.h"

namespace uvdo {
namespace {

/// Work to write a sample.
constexpr std::uint64_t kUnitsPerSample = 500;

// In the order in which append() writes them.
constexpr std::string_view kColumns =
    R"(["endMs","spanMs","clients","roomBytes","roomUsedBytes","deviceBusy")";

std::uint64_t milliseconds(double seconds) { return static_cast<std::uint64_t>(seconds * 1000); }

/// A number of six digits at most, so that a sample's text is bounded.
void append_number(std::string& text, float value) {
  fmt::format_to(std::back_inserter(text), ",{:.6g}", value);
}

void append(std::string& text, const HistorySample& sample) {
  fmt::format_to(std::back_inserter(text), "[{},{},{},{},", sample.end_ms, sample.span_ms,
                 sample.clients, sample.room_bytes);
  if (sample.room_used_bytes == HistorySample::kUnknown) {
    text += "null";
  } else {
    fmt::format_to(std::back_inserter(text), "{}", sample.room_used_bytes);
  }
  append_number(text, sample.device_busy);
  for (const HistorySample::Requests& requests : sample.requests) {
    append_number(text, requests.per_second);
    append_number(text, requests.bytes_per_second);
    if (requests.per_second > 0) {
      append_number(text, requests.us50);
      append_number(text, requests.us99);
    } else {
      text += ",null,null";
    }
  }
  text += ']';
}

}  // namespace

HistorySample HistorySample::of(const Rates& rates, const Snapshot& after) {
  HistorySample sample;
  sample.end_ms = after.activity.uptime_us / 1000;
  sample.span_ms = static_cast<std::uint32_t>(milliseconds(rates.seconds));
  sample.clients = static_cast<std::uint32_t>(after.activity.clients);
  sample.room_bytes = room_for_data(after.statistics) * after.statistics.block_size;
  if (const auto used = room_used(after.statistics)) {
    sample.room_used_bytes = *used * after.statistics.block_size;
  }
  for (std::size_t kind = 0; kind < sample.requests.size(); ++kind) {
    const RequestRate& rate = rates.requests[kind];
    Requests& requests = sample.requests[kind];
    requests.per_second = static_cast<float>(rate.per_second);
    requests.bytes_per_second = static_cast<float>(rate.bytes_per_second);
    requests.us50 = static_cast<float>(rate.latencies.percentile(50));
    requests.us99 = static_cast<float>(rate.latencies.percentile(99));
  }
  sample.device_busy = static_cast<float>(rates.device_busy);
  return sample;
}

void History::add(const HistorySample& sample) { (*samples_)[count_++ % kMost] = sample; }

Task<std::string> History::json(Executor& executor, std::uint64_t after) const {
  // Samples that come while others have their turn are left for the next time.
  const std::uint64_t end = count_;
  std::uint64_t at = after > end ? 0 : after;
  at = std::max(at, end > kMost ? end - kMost : 0);
  std::string text;
  text.reserve((end - at) * kMostSampleText + 1024);
  fmt::format_to(std::back_inserter(text), R"({{"id":{},"next":{},"intervalMs":{},"most":{},)", id_,
                 end, std::chrono::duration_cast<std::chrono::milliseconds>(kInterval).count(),
                 kMost);
  fmt::format_to(std::back_inserter(text), R"("columns":{})", kColumns);
  for (const RequestKind kind : kRequestKinds) {
    fmt::format_to(std::back_inserter(text),
                   R"(,"{0}PerSecond","{0}BytesPerSecond","{0}Us50","{0}Us99")", name_of(kind));
  }
  text += R"(],"samples":[)";
  for (bool is_first = true; at < end; ++at) {
    // One that was overwritten meanwhile is a later one by now.
    if (at + kMost < count_) continue;
    if (!std::exchange(is_first, false)) text += ',';
    append(text, (*samples_)[at % kMost]);
    executor.spend(kUnitsPerSample);
    co_await executor.give_way();
  }
  text += "]}";
  co_return text;
}

}  // namespace uvdo
