// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/workload_figures.h"

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/json.h"

namespace uvdo {

double WorkloadFigures::requests_per_second() const {
  return static_cast<double>(requests) / seconds;
}

double WorkloadFigures::bytes_per_second() const { return static_cast<double>(bytes) / seconds; }

std::string figures_header() {
  return fmt::format("{:<16} {:>5} {:>11} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8}", "workload",
                     "depth", "requests/s", "MB/s", "user us", "sys us", "p50 us", "p99 us",
                     "p99.9 us", "writes");
}

std::string figures_line(const WorkloadFigures& f) {
  return fmt::format(
      "{:<16} {:>5} {:>11.0f} {:>9.0f} {:>8.2f} {:>8.2f} {:>9.1f} {:>9.1f} {:>9.1f} {:>8.3f}",
      f.workload, f.depth, f.requests_per_second(), f.bytes_per_second() / 1e6, f.user_us,
      f.system_us, f.latency_us[0], f.latency_us[1], f.latency_us[2], f.device_writes);
}

Json to_json(const WorkloadFigures& f) {
  return {{"workload", f.workload},
          {"depth", f.depth},
          {"request_bytes", f.request_bytes},
          {"requests", f.requests},
          {"seconds", f.seconds},
          {"seconds_until_stable", f.total_seconds},
          {"requests_per_second", f.requests_per_second()},
          {"blocks_per_second", f.bytes_per_second() / kBlockSize},
          {"bytes_per_second", f.bytes_per_second()},
          {"user_us_per_block", f.user_us},
          {"system_us_per_block", f.system_us},
          {"cpu_us_per_block", f.user_us + f.system_us},
          {"latency_us",
           {{"p50", f.latency_us[0]},
            {"p99", f.latency_us[1]},
            {"p99.9", f.latency_us[2]},
            {"maximum", f.latency_us[3]}}},
          {"device_blocks_written_per_block", f.device_writes},
          {"map_pages_read_per_block", f.map_reads},
          {"volume_memory_bytes", f.memory_bytes}};
}

}  // namespace uvdo
