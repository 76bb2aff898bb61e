// SPDX-License-Identifier: GPL-2.0-or-later
// What a benchmark does to a volume: the list of docs/performance.md.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "workload/block_pattern.h"

namespace uvdo {

/// One kind of load: what is there before, what is then asked for, where and how much at a time.
/// Values are the usual case, so that the table names only what is special.
struct Workload {
  enum class Action : std::uint8_t { write, read, mixed, discard, raw_write, raw_read };
  enum class Addresses : std::uint8_t { ascending, random };
  /// What is there before the clock runs. The set is 1 GiB of different blocks, at the start.
  enum class Start : std::uint8_t {
    empty,
    set,
    compressed_set,
    duplicated_set,  ///< the set, and behind it as many random picks of it, which reads then go to
    every_leaf,      ///< one block in each page of a block map of 1 TiB
    many_copies,     ///< the set, again and again, until 125 GiB are mapped
  };
  /// Where new data come from.
  enum class Source : std::uint8_t { fresh, picks_of_set, set_again };

  std::string_view name;
  std::string_view summary;
  Action action = Action::write;
  Addresses addresses = Addresses::ascending;
  Start start = Start::empty;
  Pattern pattern = Pattern::unique;
  Source source = Source::fresh;
  std::uint32_t request_bytes = 4096;
  unsigned depth = 0;    ///< requests in flight; 0: as the user says
  unsigned share = 100;  ///< percent of the usual number of blocks
  bool compression = false;
  bool is_flushed = false;    ///< the device, all the time, as often as a volume does it
  bool only_by_name = false;  ///< takes long: not among those that are run if none is named
};

/// All of them, in the order in which they are run.
[[nodiscard]] std::span<const Workload> workloads();

/// nullptr if there is none of that name.
[[nodiscard]] const Workload* find_workload(std::string_view name);

}  // namespace uvdo
