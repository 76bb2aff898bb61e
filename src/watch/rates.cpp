// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/rates.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/saturating.h"
#include "watch/health.h"

namespace uvdo {
namespace {

// docs/watching.md tells them to people.
constexpr double kBusy = 0.85;         // of the time, or of what there is
constexpr double kManyMisses = 0.2;    // of the look-ups
constexpr double kJournalFull = 0.95;  // of its blocks

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::uint64_t rise(std::uint64_t before, std::uint64_t after) { return difference(after, before); }

// The first of the table in docs/watching.md that applies.
std::string find_bottleneck(const Rates& rates, const Snapshot& before, const Snapshot& after) {
  const VolumeStatistics& s = after.statistics;
  switch (condition_of(s)) {
    case Condition::read_only: return "an error: the volume is read-only";
    case Condition::suspended: return "being suspended: requests wait until uvdo resume";
    case Condition::normal:
    case Condition::recovering: break;
  }
  const bool idle = std::ranges::all_of(rates.requests, [](const RequestRate& rate) {
    return rate.in_flight == 0 && rate.latencies.count() == 0;
  });
  if (idle) return "nothing: no requests come";
  if (rise(before.statistics.errors.no_space_error_count, s.errors.no_space_error_count) > 0) {
    return "space: writes fail because there is no room for data";
  }
  if (rates.buffers_used >= kBusy) {
    return fmt::format("memory: {:.0f} % of that for data in flight is taken (--buffers)",
                       rates.buffers_used * 100);
  }
  if (rates.thread_cpu >= kBusy) {
    return fmt::format("the processor: the thread of the metadata is busy {:.0f} % of the time",
                       rates.thread_cpu * 100);
  }
  if (rates.journal_used >= kJournalFull ||
      rise(before.statistics.journal.disk_full, s.journal.disk_full) > 0) {
    return "the recovery journal: writes wait until pages of the block map are written";
  }
  const bool misses = rates.map_misses >= kManyMisses;
  if (rates.device_busy >= kBusy && misses) {
    return fmt::format("the block map cache: {:.0f} % of the look-ups read a page (--cache)",
                       rates.map_misses * 100);
  }
  if (rates.device_busy >= kBusy) {
    return fmt::format("the device: busy {:.0f} % of the time, {:.1f} requests in flight",
                       rates.device_busy * 100, rates.device_queue);
  }
  return "the clients: nothing here is busy";
}

}  // namespace

Rates rates_between(const Snapshot& before, const Snapshot& after) {
  const Activity& a = before.activity;
  const Activity& b = after.activity;
  Rates rates;
  rates.seconds = static_cast<double>(rise(a.uptime_us, b.uptime_us)) / 1e6;
  // Two looks at the same moment must not divide by zero.
  const double seconds = std::max(rates.seconds, 1e-6);
  const auto per_second = [&](std::uint64_t from, std::uint64_t to) {
    return static_cast<double>(rise(from, to)) / seconds;
  };
  for (const RequestKind kind : kRequestKinds) {
    RequestRate& rate = rates.requests[static_cast<std::size_t>(kind)];
    rate.latencies = b.of(kind).latencies.since(a.of(kind).latencies);
    rate.per_second = static_cast<double>(rate.latencies.count()) / seconds;
    rate.bytes_per_second = per_second(a.of(kind).bytes, b.of(kind).bytes);
    rate.in_flight = b.of(kind).in_flight;
  }
  rates.device_reads = per_second(a.device.reads, b.device.reads);
  rates.device_writes = per_second(a.device.writes, b.device.writes);
  rates.device_flushes = per_second(a.device.flushes, b.device.flushes);
  rates.device_read_bytes = per_second(a.device.read_bytes, b.device.read_bytes);
  rates.device_written_bytes = per_second(a.device.written_bytes, b.device.written_bytes);
  rates.device_busy = std::min(1.0, per_second(a.device.busy_ns, b.device.busy_ns) / 1e9);
  // The time that all requests waited together, by the time that passed: their number on average.
  rates.device_queue = per_second(a.device.waited_ns, b.device.waited_ns) / 1e9;
  rates.cpu = per_second(a.cpu_us, b.cpu_us) / 1e6;
  rates.thread_cpu = std::min(1.0, per_second(a.thread_cpu_us, b.thread_cpu_us) / 1e6);
  const VolumeStatistics& s = before.statistics;
  const VolumeStatistics& t = after.statistics;
  // Of the look-ups in between alone.
  const std::uint64_t loaded = rise(s.block_map.pages_loaded, t.block_map.pages_loaded);
  const std::uint64_t found = rise(s.block_map.found_in_cache, t.block_map.found_in_cache);
  rates.map_misses = share(loaded, loaded + found);
  rates.journal_used = share(b.journal_blocks_in_use, b.journal_blocks);
  rates.buffers_used = share(t.extra.buffer_bytes_in_use, t.extra.buffer_bytes);
  rates.deduplicated =
      per_second(s.hash_lock.dedupe_advice_valid + s.hash_lock.concurrent_data_matches,
                 t.hash_lock.dedupe_advice_valid + t.hash_lock.concurrent_data_matches);
  rates.compressed =
      per_second(s.packer.compressed_fragments_written, t.packer.compressed_fragments_written);
  rates.bottleneck = find_bottleneck(rates, before, after);
  return rates;
}

}  // namespace uvdo
