// SPDX-License-Identifier: GPL-2.0-or-later
// What goes on behind the requests: regular commits, writing back of old pages and slab journals so
// that the recovery journal can go round, and the scrubbing of slabs after a crash.
//
// What holds here: whatever was written is stable at the latest a commit delay later; the journal
// never waits for room that nobody makes.
#pragma once

#include "async/alarm.h"
#include "base/log.h"
#include "ledger/ledger.h"
#include "volume/volume_life.h"

namespace uvdo {

/// Two loops and, after a crash, a scrub. Each loop sleeps on its own alarm until there is
/// something to do; who has something to be done sets a flag and rings, which costs little and may
/// happen often.
class Maintenance {
 public:
  /// `commit_delay`: a commit at the latest this long after a write, flush or not.
  Maintenance(Executor& executor, const VolumeLife& life, ReadOnlyNotifier& notifier,
              Ledger& ledger, Duration commit_delay, LogFunction log)
      : executor_(executor),
        life_(life),
        notifier_(notifier),
        journal_(ledger.journal()),
        depot_(ledger.depot()),
        map_(ledger.map()),
        commit_delay_(commit_delay),
        log_(std::move(log)),
        commit_alarm_(executor),
        write_back_alarm_(executor),
        tasks_(executor) {}

  /// Begins; with `scrubs` the slabs that wait for it are scrubbed.
  void start(bool scrubs);
  /// Returns when all of it has ended. The volume's life has come to its end before.
  Task<void> end();
  /// The journal has entries that are to be committed.
  void note_new_entries();

 private:
  /// Full journal blocks that are committed without waiting for the regular commit.
  static constexpr std::size_t kBlocksPerCommit = 64;
  void request_write_back();
  [[nodiscard]] bool needs_write_back() const;
  /// Above two thirds of the ring, what holds its oldest part is written.
  [[nodiscard]] bool is_ring_pressed() const {
    return journal_.blocks_in_use() > journal_.usable_blocks() * 2 / 3;
  }
  Task<void> commit_regularly();
  Task<void> write_back_regularly();
  Task<void> write_back();
  Task<void> scrub();

  Executor& executor_;
  const VolumeLife& life_;
  ReadOnlyNotifier& notifier_;
  RecoveryJournal& journal_;
  SlabDepot& depot_;
  BlockMap& map_;
  Duration commit_delay_;
  LogFunction log_;
  Alarm commit_alarm_;
  Alarm write_back_alarm_;
  bool commit_is_due_ = false;
  bool write_back_is_due_ = false;
  TaskGroup tasks_;
};

}  // namespace uvdo
