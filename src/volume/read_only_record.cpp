// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/read_only_record.h"

#include <fmt/core.h>

namespace uvdo {

Task<void> ReadOnlyRecord::write() {
  // Also behind a save that has just marked the volume clean.
  const auto record = [this](SuperBlock& next) -> Result<void> {
    const RecoveryJournal& journal = ledger_.journal();
    next.state = VolumeState::read_only_mode;
    // So that a rebuild finds the entries that pages may lack (behaviour.md, 10).
    next.journal.journal_start = journal.durable_head();
    next.journal.logical_blocks_used = journal.logical_blocks_used();
    next.journal.block_map_blocks = journal.block_map_blocks();
    return {};
  };
  auto done = co_await super_blocks_.change(record);
  // What it says does not rest on what the gate's last flush has lost.
  if (!done && flushes_.has_failed()) done = co_await super_blocks_.change_past(past_, record);
  if (done) co_return;
  log_({LogLevel::error,
        fmt::format("read-only mode could not be recorded: {}", done.error().message())});
}

}  // namespace uvdo
