// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume counts of the requests of its clients.
#pragma once

#include <cstdint>

#include "statistics/part_statistics.h"

namespace uvdo {

/// Counts of client requests (behaviour.md, 14: biosIn and relatives), in blocks.
struct RequestCounters {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t partial_reads = 0;
  std::uint64_t partial_writes = 0;
  std::uint64_t discards = 0;
  std::uint64_t flushes = 0;
  std::uint64_t fua_writes = 0;
  std::uint64_t data_reads = 0;  ///< blocks read from the device for data
  std::uint64_t zero_blocks_written = 0;
};

struct VolumeCounters {
  RequestCounters requests;
  HashLockStatistics hash_locks;
  ErrorStatistics errors;
};

}  // namespace uvdo
