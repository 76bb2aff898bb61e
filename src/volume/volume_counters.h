// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume counts of the requests of its clients, by who counts it.
#pragma once

#include <cstdint>

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

struct DedupeCounters {
  std::uint64_t advice_valid = 0;
  std::uint64_t advice_stale = 0;
  std::uint64_t concurrent_matches = 0;
  std::uint64_t concurrent_collisions = 0;
  std::uint64_t queries_now = 0;
  std::uint64_t invalid_advice = 0;
};

struct ErrorCounters {
  std::uint64_t no_space = 0;
  std::uint64_t read_only = 0;
};

struct VolumeCounters {
  RequestCounters requests;
  DedupeCounters dedupe;
  ErrorCounters errors;
};

}  // namespace uvdo
