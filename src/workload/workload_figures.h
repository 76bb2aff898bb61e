// SPDX-License-Identifier: GPL-2.0-or-later
// What was measured of a workload, as a table for people and as JSON for programs.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/json.h"

namespace uvdo {

/// "Of a block": for each 4096 bytes that clients asked for, so that requests of all sizes compare.
struct WorkloadFigures {
  std::string workload;
  unsigned depth = 0;
  std::uint32_t request_bytes = 0;
  std::uint64_t requests = 0;
  double seconds = 0;        ///< until the last answer
  double total_seconds = 0;  ///< until all is stable
  std::uint64_t bytes = 0;
  double user_us = 0;  ///< processor time, all threads, of a block
  double system_us = 0;
  double latency_us[4]{};          ///< of the 50th, 99th and 99.9th percent, and the longest
  double device_writes = 0;        ///< blocks written to the device, of a block
  double map_reads = 0;            ///< pages of the block map read, of a block
  std::uint64_t memory_bytes = 0;  ///< what the volume takes

  [[nodiscard]] double requests_per_second() const;
  [[nodiscard]] double bytes_per_second() const;
};

[[nodiscard]] std::string figures_header();
[[nodiscard]] std::string figures_line(const WorkloadFigures& figures);
[[nodiscard]] Json to_json(const WorkloadFigures& figures);

}  // namespace uvdo
