// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/stats_watch.h"

#include <algorithm>

#include "base/print.h"
#include "serve/health.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kLinesPerHeader = 20;

void print_header() {
  print("{:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>5} {:>5} {:>5} {:>6} {}\n",
        "read/s", "rB/s", "r50%", "r99%", "write/s", "wB/s", "w50%", "w99%", "disc/s", "dev%",
        "cpu%", "used%", "saved%", " held up by");
}

void print_line(const Rates& rates, const VolumeStatistics& s) {
  const RequestRate& reads = rates.of(RequestKind::read);
  const RequestRate& writes = rates.of(RequestKind::write);
  const std::uint64_t room = room_for_data(s);
  const double used = room == 0 ? 0
                                : 100.0 * static_cast<double>(std::min(room, room_used(s))) /
                                      static_cast<double>(room);
  const bool saves = s.logical_blocks_used > 0 && s.data_blocks_used <= s.logical_blocks_used;
  const double saved = saves ? 100.0 *
                                   static_cast<double>(s.logical_blocks_used - s.data_blocks_used) /
                                   static_cast<double>(s.logical_blocks_used)
                             : 0;
  const std::string_view held = rates.bottleneck;
  print(
      "{:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>5.0f} {:>5.0f} {:>5.1f} {:>6.1f}  "
      "{}\n",
      short_number(reads.per_second), short_bytes(reads.bytes_per_second),
      short_time(reads.latencies.percentile(50)), short_time(reads.latencies.percentile(99)),
      short_number(writes.per_second), short_bytes(writes.bytes_per_second),
      short_time(writes.latencies.percentile(50)), short_time(writes.latencies.percentile(99)),
      short_number(rates.of(RequestKind::discard).per_second), rates.device_busy * 100,
      rates.cpu * 100, used, saved, held.substr(0, held.find(':')));
}

}  // namespace

int watch_statistics(const ServedVolume& served, double interval, std::uint64_t count) {
  auto before = take_snapshot(served);
  if (!before) return fail(before.error());
  for (std::uint64_t line = 0; count == 0 || line < count; ++line) {
    wait_for_key(interval, false);
    auto now = take_snapshot(served);
    if (!now) return fail(now.error());
    if (line % kLinesPerHeader == 0) print_header();
    if (now->activity.uptime_us > before->activity.uptime_us) {
      print_line(rates_between(*before, *now), now->statistics);
    }
    before = std::move(now);
    if (auto arrived = finish_output(); !arrived) return fail(arrived.error());
  }
  return kExitOk;
}

}  // namespace uvdo
