// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/saver.h"

namespace uvdo {

Task<Result<void>> Saver::save(IndexHolder::Saving index) {
  progress_ = Progress::nothing;
  Result<void> done;
  if (notifier_.is_read_only()) done = notifier_.error();
  // First what clients were told: there may be no room for the index.
  if (done) done = within("saving: recovery journal", co_await ledger_.journal().commit_all());
  if (done) progress_ = Progress::committed;
  // Before the map and slabs, and even if there is an error: its own failure costs deduplication
  // only.
  co_await index_.save(index);
  if (done) done = within("saving: block map", co_await ledger_.map().save());
  if (done) done = within("saving: slabs", co_await ledger_.depot().save());
  if (!done) co_return done;
  done = co_await super_blocks_.change([this](SuperBlock& next) -> Result<void> {
    // What goes on in the background may have failed since.
    if (notifier_.is_read_only()) return notifier_.error();
    RecoveryJournal& journal = ledger_.journal();
    next.state = VolumeState::clean;
    // The partly filled block is not continued (behaviour.md, 17): everything is committed by now.
    next.journal.journal_start = journal.close_block();
    next.journal.logical_blocks_used = journal.logical_blocks_used();
    next.journal.block_map_blocks = journal.block_map_blocks();
    return {};
  });
  done = within("saving: super block", std::move(done));
  if (!done) co_return done;
  progress_ = Progress::saved;
  // The super block's flush has made the clean summary durable: the slabs' rings are empty.
  ledger_.depot().continue_after_save();
  co_return done;
}

}  // namespace uvdo
