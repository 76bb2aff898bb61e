// SPDX-License-Identifier: GPL-2.0-or-later
// The slabs of a volume that was not shut down: their journals get what only the recovery journal
// had (behaviour.md, 9.4), and their counts are made out while the volume is in use (8).
//
// A recovery that is broken off is repeated from its start, by whomever: so the blocks that it
// writes must be the same each time, and the same that the volume in use would have written.
#include <algorithm>

#include "depot/slab_depot.h"

namespace uvdo {

bool SlabDepot::recover_change(Pbn pbn, ReferenceOperation operation, JournalPoint point) {
  Slab& slab = slab_of(pbn);
  const JournalPoint expanded = operation == ReferenceOperation::data_decrement
                                    ? point.expanded_decrement()
                                    : point.expanded_increment();
  // Points rise strictly within a slab's journal (volume.md, 5.2): up to its recovery point it has
  // all.
  if (expanded <= slab.recovery_point() && !faults_.is_on(Fault::recovery_repeats_entries)) {
    return false;
  }
  if (operation == ReferenceOperation::data_decrement &&
      faults_.is_on(Fault::recovery_drops_decrements)) {
    return false;
  }
  slab.append_recovered(layout_.sbn_of(pbn), operation, point, journal_);
  return true;
}

/// Nothing else writes yet, so writer_ is not needed.
Task<Result<void>> SlabDepot::write_recovered(bool all) {
  to_write_.clear();
  for (const auto& slab : slabs_) {
    if (all && slab->has_open_entries()) slab->close_open_block();
    if (slab->has_closed()) to_write_.push_back(slab.get());
  }
  co_return co_await write_journals();
}

Task<Result<void>> SlabDepot::scrub_first() {
  bool any = false;
  for (const auto& slab : slabs_) {
    // A journal as full as this is past the blocking threshold: writers would wait for it at once.
    if (slab->is_ready() || slab->journal_blocks_in_use() < config_.scrubbing) continue;
    any = true;
    auto done = co_await scrub(*slab);
    if (!done) co_return done;
  }
  if (any || unscrubbed_ == 0) co_return Result<void>();
  co_return co_await scrub_next();
}

Task<Result<void>> SlabDepot::scrub_next() {
  Slab* best = nullptr;
  int best_rank = -1;
  for (const auto& slab : slabs_) {
    if (slab->is_ready()) continue;
    // A slab whose journal takes no more keeps writers waiting: it comes before all hints, which
    // have six bits. Otherwise the one with the most free blocks.
    const int rank = slab->has_room() ? slab->summary().fullness_hint : 64;
    if (rank <= best_rank) continue;
    best = slab.get();
    best_rank = rank;
  }
  check(best != nullptr, "there is no slab to scrub");
  co_return co_await scrub(*best);
}

Task<void> SlabDepot::wait_for_scrub() {
  if (unscrubbed_ > 0 && !notifier_.is_read_only()) co_await room_.wait();
}

}  // namespace uvdo
