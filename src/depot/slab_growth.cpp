// SPDX-License-Identifier: GPL-2.0-or-later
// Growth of the depot of a volume in use (behaviour.md, 12). What is behind the old slabs, the
// old journal and summary among it, becomes slabs that were never used: nothing of them is read.
#include "depot/slab_depot.h"

namespace uvdo {

Task<Result<void>> SlabDepot::write_grown_summary(const SuperBlock& grown) {
  fill_unused_summary(slab_count());
  co_return co_await write_whole_summary(grown.find(PartitionId::slab_summary).start);
}

void SlabDepot::grow(const SuperBlock& grown) {
  layout_ = SlabLayout(grown.depot);
  summary_start_ = grown.find(PartitionId::slab_summary).start;
  const SlabNumber old_count = slab_count();
  add_slabs(layout_.slab_count() - old_count);
  for (SlabNumber n = old_count; n < slab_count(); ++n) {
    Slab& slab = *slabs_[n];
    slab.summary().fullness_hint = fullness_hint(config_.data_blocks, layout_.slab_bits());
    slab.load_pristine();
    ++unscrubbed_;
    became_ready(slab);
  }
  writer_.release();
}

}  // namespace uvdo
