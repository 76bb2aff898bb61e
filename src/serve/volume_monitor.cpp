// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/volume_monitor.h"

#include <algorithm>
#include <ctime>

#include <fmt/core.h>

#include "base/size_text.h"
#include "serve/health.h"

namespace uvdo {
namespace {

constexpr Duration kInterval = std::chrono::seconds(1);
constexpr unsigned kGravePercent = 95;

std::uint64_t cpu_microseconds(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec) / 1000;
}

}  // namespace

VolumeMonitor::VolumeMonitor(Executor& executor, const Volume& volume, const RequestTimes& times,
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
    look();
    hook_.poll();
    co_await alarm_.sleep(kInterval);
  }
}

void VolumeMonitor::look() {
  // After an error the counts may not be known.
  if (volume_.is_read_only()) return;
  const VolumeStatistics s = volume_.statistics();
  const std::uint64_t room = room_for_data(s);
  const std::uint64_t used = std::min(room, room_used(s));
  const auto crossings = space_.observe(executor_.now(), used, room);
  // Of several marks passed at once the last one says it all.
  if (!crossings.empty()) tell(crossings.back(), used, room);
}

void VolumeMonitor::tell(SpaceWatch::Crossing crossing, std::uint64_t used, std::uint64_t room) {
  const std::string percent = fmt::format("{}", crossing.percent);
  const std::uint64_t used_bytes = used * kBlockSize;
  const std::uint64_t room_bytes = room * kBlockSize;
  LogLine line("");
  line.fields = {{"event", crossing.upward ? "watermark-above" : "watermark-below"},
                 {"volume", settings_.volume},
                 {"percent", percent},
                 {"used_bytes", fmt::format("{}", used_bytes)},
                 {"room_bytes", fmt::format("{}", room_bytes)}};
  std::string until;
  if (const auto left = space_.until_full(); left && crossing.upward) {
    until = fmt::format("; at the present rate it is full in {}", duration_text(*left));
    line.fields.emplace_back("seconds_until_full", fmt::format("{}", left->count()));
  }
  if (crossing.upward) {
    line.level = crossing.percent >= kGravePercent ? LogLevel::error : LogLevel::warning;
    line.text = fmt::format("{} % of the room for data of {} is used, {} is left{}", percent,
                            size_text(room_bytes), size_text(room_bytes - used_bytes), until);
  } else {
    line.level = LogLevel::notice;
    line.text = fmt::format("less than {} % of the room for data of {} is used again, {} is left",
                            percent, size_text(room_bytes), size_text(room_bytes - used_bytes));
  }
  Hook::Variables variables;
  for (const auto& [name, value] : line.fields) {
    std::string variable = "UVDO_" + name;
    std::ranges::transform(variable, variable.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    variables.emplace_back(std::move(variable), value);
  }
  log_(std::move(line));
  hook_.run(std::move(variables));
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
  a.clients = settings_.clients();
  a.journal_blocks_in_use = volume_.journal().blocks_in_use();
  a.journal_blocks = volume_.journal().usable_blocks();
  a.watermark = space_.mark();
  a.fill_bytes_per_second = space_.fill_rate() * kBlockSize;
  a.until_full = space_.until_full();
  return a;
}

}  // namespace uvdo
