// SPDX-License-Identifier: GPL-2.0-or-later
// Gives room back to what lies beneath the volume: free blocks are discarded there, in runs
// (behaviour.md, 5.7).
//
// What holds here:
//  - Only free blocks are discarded: the entry that has freed one is stable, and nobody reads it
//  any
//    more (SlabDepot). So no power cut comes up with a mapping to what was discarded.
//  - The blocks of a discard that is under way are claimed: nobody is given them, and no advice of
//    the index is followed to them, until the device has answered. What is written there later is a
//    write behind the discard, in the order that a device keeps.
//  - Each discard comes through the gate of the requests: none is under way while the volume is
//    saved, suspended or stopped.
//  - A device that refuses is asked no more. No client learns of it.
#pragma once

#include <cstdint>
#include <string_view>

#include "async/alarm.h"
#include "base/log.h"
#include "ledger/ledger.h"
#include "statistics/statistics.h"
#include "volume/entrance.h"
#include "volume/volume_options.h"

namespace uvdo {

/// What was discarded.
struct TrimCounts {
  std::uint64_t runs = 0;
  std::uint64_t bytes = 0;
};

class Trimmer {
 public:
  enum class State : std::uint8_t {
    off,      ///< only trim() discards
    on,       ///< what becomes free is discarded, too
    refused,  ///< the device did not take one
  };

  Trimmer(Executor& executor, PbnDevice blocks, const VolumeLife& life,
          const ReadOnlyNotifier& notifier, Entrance& entrance, Ledger& ledger,
          const VolumeOptions& options, LogFunction log);

  /// Begins to discard what becomes free, if that is wished.
  void start();
  /// Returns when nothing is under way. The volume's life has come to its end before.
  Task<void> end();
  /// Discards all free blocks of slabs that were ever used, those that are about to become free
  /// among them. unsupported or the device's error: it refused, and the rest was left out.
  Task<Result<TrimCounts>> trim();

  [[nodiscard]] State state() const { return state_; }
  void add_to(ExtraStatistics& extra) const;

 private:
  /// Blocks of one slab, discarded as a whole or not.
  struct Range {
    SlabNumber slab = 0;
    Sbn begin = 0;
    Sbn end = 0;
  };
  Task<void> discard_regularly();
  /// What has become free since the last time. False: not all of it, for now.
  Task<bool> discard_freed();
  Task<Result<void>> discard_areas(Range range);
  /// The first run of the range, which begins behind it afterwards: discarded, or there is none.
  Task<Result<void>> discard_next(Range& range);
  void refuse(const Error& error);

  Executor& executor_;
  PbnDevice blocks_;
  const VolumeLife& life_;
  const ReadOnlyNotifier& notifier_;
  Entrance& entrance_;
  RecoveryJournal& journal_;
  SlabDepot& depot_;
  const VolumeOptions& options_;
  LogFunction log_;
  State state_ = State::off;
  TrimCounts counts_;
  std::uint64_t seen_released_ = 0;  // by the depot, when the last pass began
  Alarm alarm_;
  RequestGate callers_;  // of trim()
  TaskGroup tasks_;
};

/// "off", "on", "refused".
[[nodiscard]] std::string_view name_of(Trimmer::State state);

}  // namespace uvdo
