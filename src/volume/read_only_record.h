// SPDX-License-Identifier: GPL-2.0-or-later
// Marks a volume on its device that has become read-only (behaviour.md, 10), so that nobody starts
// it without a rebuild.
#pragma once

#include "base/log.h"
#include "device/flush_gate.h"
#include "ledger/ledger.h"
#include "volume/super_block_store.h"

namespace uvdo {

/// It is written once, in the background, as whoever enters the mode must not wait. It needs no
/// flush of what came before: a rebuild rests on the journal and the map, whatever of them is
/// stable.
class ReadOnlyRecord {
 public:
  /// `past`: the device without the gate `flushes`, whose last flush may have failed.
  ReadOnlyRecord(Executor& executor, Device& past, const FlushGate& flushes, Ledger& ledger,
                 SuperBlockStore& super_blocks, LogFunction log)
      : past_(past),
        flushes_(flushes),
        ledger_(ledger),
        super_blocks_(super_blocks),
        log_(std::move(log)),
        writing_(executor) {}

  /// Begins to write it, unless that is under way. A failure is logged.
  void start() {
    if (writing_.running() == 0) writing_.start(write());
  }
  /// Waits until it is written, if it was begun.
  Task<void> wait() { return writing_.wait(); }
  [[nodiscard]] bool is_written() const {
    return super_blocks_.current().state == VolumeState::read_only_mode;
  }

 private:
  Task<void> write();

  Device& past_;
  const FlushGate& flushes_;
  Ledger& ledger_;
  SuperBlockStore& super_blocks_;
  LogFunction log_;
  TaskGroup writing_;
};

}  // namespace uvdo
