// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/stats_watch.h"

#include <algorithm>
#include <string>

#include <fmt/core.h>

#include "base/print.h"
#include "base/saturating.h"
#include "cli/command.h"
#include "watch/health.h"
#include "watch/rates_json.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kLinesPerHeader = 20;

void print_header() {
  print("{:>5} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>5} {:>5} {:>5} {:>6} {}\n",
        "sec", "read/s", "rB/s", "r50%", "r99%", "write/s", "wB/s", "w50%", "w99%", "disc/s",
        "dev%", "cpu%", "used%", "saved%", " held up by");
}

void print_line(const Rates& rates, const VolumeStatistics& s) {
  const RequestRate& reads = rates.of(RequestKind::read);
  const RequestRate& writes = rates.of(RequestKind::write);
  const std::uint64_t room = room_for_data(s);
  std::string used = "-";
  std::string saved = "-";
  if (const auto blocks = room_used(s)) {
    used = fmt::format("{:.1f}", percent_of(std::min(room, *blocks), room));
    saved = fmt::format("{:.1f}", percent_of(difference(s.logical_blocks_used, s.data_blocks_used),
                                             s.logical_blocks_used));
  }
  const std::string_view held = rates.bottleneck;
  print(
      "{:>5.1f} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>5.0f} {:>5.0f} {:>5} "
      "{:>6}  "
      "{}{}\n",
      rates.seconds, short_number(reads.per_second), short_bytes(reads.bytes_per_second),
      short_time(reads.latencies.percentile(50)), short_time(reads.latencies.percentile(99)),
      short_number(writes.per_second), short_bytes(writes.bytes_per_second),
      short_time(writes.latencies.percentile(50)), short_time(writes.latencies.percentile(99)),
      short_number(rates.of(RequestKind::discard).per_second), rates.device_busy * 100,
      rates.cpu * 100, used, saved, held.substr(0, held.find(':')),
      is_recovering(s) ? "; recovering" : "");
}

}  // namespace

int watch_statistics(const ServedVolume& served, double interval, std::uint64_t count,
                     WatchForm form) {
  auto before = take_snapshot(served);
  if (!before) return fail(before.error());
  for (std::uint64_t line = 0; count == 0 || line < count; ++line) {
    wait_for_key(interval, false);
    auto now = take_snapshot(served);
    if (!now) return fail(now.error());
    const bool is_text = form == WatchForm::text;
    if (is_text && line % kLinesPerHeader == 0) print_header();
    // Otherwise the server has been started anew: the next interval has counters to compare again.
    if (now->activity.uptime_us > before->activity.uptime_us) {
      const Rates rates = rates_between(*before, *now);
      if (is_text) {
        print_line(rates, now->statistics);
      } else {
        print("{}\n", json_text(to_json(rates, *now)));
      }
    }
    before = std::move(now);
    if (auto arrived = finish_output(); !arrived) return fail(arrived.error());
  }
  return kExitOk;
}

}  // namespace uvdo
