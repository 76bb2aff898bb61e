// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/volume_monitor.h"

#include <algorithm>
#include <ctime>

#include <fmt/core.h>

#include "base/saturating.h"
#include "base/size_text.h"
#include "watch/health.h"

namespace uvdo {
namespace {

constexpr Duration kInterval = std::chrono::seconds(1);
constexpr Duration kIntervalWhileBusy = std::chrono::milliseconds(50);
// From this mark on it is an error and no warning in the log.
constexpr unsigned kGravePercent = 95;

std::uint64_t cpu_microseconds(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec) / 1000;
}

}  // namespace

VolumeMonitor::VolumeMonitor(Executor& executor, Volume& volume, const RequestTimes& times,
                             Settings settings, LogFunction log)
    : executor_(executor),
      volume_(volume),
      times_(times),
      settings_(std::move(settings)),
      log_(std::move(log)),
      space_(settings_.marks),
      hook_(
          settings_.hook, [&executor] { return executor.now(); }, log_),
      started_(executor.now()),
      alarm_(executor) {}

void VolumeMonitor::stop() {
  stopping_ = true;
  alarm_.ring();
}

Task<void> VolumeMonitor::run() {
  while (!stopping_) {
    // First, as look() takes what it finds out about the room beneath.
    settings_.look_beneath();
    look();
    hook_.poll();
    // While commands wait for the one that runs they are begun soon after its end.
    co_await alarm_.sleep(hook_.is_busy() ? kIntervalWhileBusy : kInterval);
  }
  look();  // what has happened in the last second
}

void VolumeMonitor::look() {
  const VolumeStatistics s = volume_.statistics();
  // Taken in any case, so that a peak of a time when nobody knew how much was used is not told
  // later.
  const std::uint64_t peak = volume_.take_peak_used();
  const auto used = room_used(s);
  if (!used) return space_.forget();
  SpaceSample seen;
  seen.used = std::min(room_for_data(s), *used);
  // Room that the file system beneath cannot give is none: the volume is full when writes fail.
  seen.room = seen.used + blocks_left(s, room_for_data(s), seen.used);
  seen.peak = std::min(seen.room, peak);
  for (const SpaceEvent& event : space_.observe(executor_.now(), seen)) {
    tell(event, seen.used, seen.room);
  }
}

std::uint64_t VolumeMonitor::blocks_left(const VolumeStatistics& s, std::uint64_t room,
                                         std::uint64_t used) const {
  const auto backing = settings_.backing();
  if (!backing || !backing->is_file) return room - used;
  // What the file has already, beyond what is in use, can be used without asking for more.
  const std::uint64_t taken = s.extra.fixed_overhead_blocks + used;
  const std::uint64_t has = backing->allocated / s.block_size;
  const std::uint64_t spare = has > taken ? has - taken : 0;
  return std::min(room - used, spare + backing->free / s.block_size);
}

void VolumeMonitor::tell(SpaceEvent event, std::uint64_t used, std::uint64_t room) {
  const std::string percent = fmt::format("{}", event.percent);
  const std::string all = size_text(room * kBlockSize);
  const std::string left = size_text(difference(room, used) * kBlockSize);
  LogLine line("");
  line.fields = {{"event", std::string(name_of(event.kind))},
                 {"volume", settings_.volume},
                 {"percent", percent},
                 {"used_bytes", fmt::format("{}", used * kBlockSize)},
                 {"room_bytes", fmt::format("{}", room * kBlockSize)}};
  switch (event.kind) {
    case SpaceEvent::Kind::above: {
      line.level = event.percent >= kGravePercent ? LogLevel::error : LogLevel::warning;
      std::string until;
      if (const auto seconds = space_.until_full()) {
        until = "; " + outlook_text(*seconds, space_.fill_rate().over);
        line.fields.emplace_back("seconds_until_full", fmt::format("{}", seconds->count()));
      }
      line.text = fmt::format("{} % of the room for data of {} is used, {} is left{}", percent, all,
                              left, until);
      break;
    }
    case SpaceEvent::Kind::full:
      line.level = LogLevel::error;
      line.text = fmt::format(
          "the room for data of {} is full: writes of new data fail with \"no "
          "space\" until something is discarded or the volume grows",
          all);
      break;
    case SpaceEvent::Kind::not_full:
      line.level = LogLevel::notice;
      line.text =
          fmt::format("the room for data of {} is not full any more, {} is left", all, left);
      break;
    case SpaceEvent::Kind::below:
      line.level = LogLevel::notice;
      line.text = fmt::format("less than {} % of the room for data of {} is used again, {} is left",
                              percent, all, left);
      break;
  }
  Hook::Variables variables;
  for (const auto& [name, value] : line.fields) {
    std::string variable = "UVDO_" + name;
    // The fields of the log are the variables of the command: "used_bytes" is UVDO_USED_BYTES.
    std::ranges::transform(variable, variable.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    variables.emplace_back(std::move(variable), value);
  }
  log_(std::move(line));
  hook_.run(std::move(variables));
}

VolumeStatistics VolumeMonitor::statistics() const {
  VolumeStatistics s = volume_.statistics();
  // The front end knows requests, the volume blocks: no fewer than these are under way.
  BioCounts& now = s.bios_in_progress;
  now.read = times_.of(RequestKind::read).in_flight;
  now.write = times_.of(RequestKind::write).in_flight;
  now.discard = times_.of(RequestKind::discard).in_flight;
  now.empty_flush = times_.of(RequestKind::flush).in_flight;
  s.bios_acknowledged = difference(s.bios_in, now);
  const DeviceActivity device = settings_.device();
  s.extra.device_failed_reads = device.failed_reads;
  s.extra.device_failed_writes = device.failed_writes;
  s.extra.device_failed_flushes = device.failed_flushes;
  return s;
}

Activity VolumeMonitor::activity() const {
  Activity a;
  a.uptime_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(executor_.now() - started_).count());
  a.cpu_us = cpu_microseconds(CLOCK_PROCESS_CPUTIME_ID);
  a.thread_cpu_us = cpu_microseconds(CLOCK_THREAD_CPUTIME_ID);
  for (const RequestKind kind : kRequestKinds) {
    const RequestTimes::Kind& from = times_.of(kind);
    RequestActivity& to = a.requests[static_cast<std::size_t>(kind)];
    to.latencies = from.latencies;
    to.bytes = from.bytes;
    to.in_flight = from.in_flight;
    to.total_ns = from.total_ns;
  }
  a.device = settings_.device();
  const RoomGate& gate = volume_.room();
  a.room_beneath.state = name_of(gate.state());
  a.room_beneath.shortages = gate.shortages();
  a.room_beneath.waiting_writes = gate.waiting_writes();
  a.room_beneath.waiting_bytes = gate.waiting_bytes();
  if (const auto backing = settings_.backing(); backing && backing->is_file) {
    a.room_beneath.free_bytes = backing->free;
    a.room_beneath.may_take_bytes =
        backing->may_take(volume_end(volume_.geometry(), volume_.super_block()));
  }
  a.clients = settings_.clients();
  a.journal_blocks_in_use = volume_.journal().blocks_in_use();
  a.journal_blocks = volume_.journal().usable_blocks();
  a.watermark = space_.mark();
  a.fill_bytes_per_second = space_.fill_rate().blocks_per_second * kBlockSize;
  a.fill_seconds = static_cast<std::uint64_t>(space_.fill_rate().over.count());
  a.until_full = space_.until_full();
  return a;
}

}  // namespace uvdo
