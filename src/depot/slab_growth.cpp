// SPDX-License-Identifier: GPL-2.0-or-later
// Growth of the depot of a volume in use (behaviour.md, 12). What is behind the old slabs, the
// old journal and summary among it, becomes slabs that were never used: nothing of them is read.
#include <utility>

#include "depot/slab_depot.h"

namespace uvdo {
namespace {

/// Work to make a slab.
constexpr std::uint64_t kUnitsPerNewSlab = 100;

}  // namespace

Task<void> SlabDepot::begin_growth(const SuperBlock& grown, PageMemory reserved) {
  // No slab and no summary is written until grow() or give_up_growth().
  co_await writer_.acquire();
  // The room that the caller has made sure of is given back just before the tables take it.
  reserved = PageMemory();
  const SlabNumber first = slab_count();
  const SlabNumber count = SlabLayout(grown.depot).slab_count() - first;
  const SlabMemory& memory = slab_memory_.emplace_back(config_, count);
  grown_slabs_.reserve(count);
  while (grown_slabs_.size() < count) {
    grown_slabs_.push_back(make_slab(memory, static_cast<SlabNumber>(grown_slabs_.size()), first));
    grown_slabs_.back()->load_pristine();
    executor_.spend(kUnitsPerNewSlab);
    co_await executor_.give_way();
  }
}

void SlabDepot::give_up_growth() {
  grown_slabs_.clear();
  slab_memory_.pop_back();
  writer_.release();
}

Task<Result<void>> SlabDepot::write_grown_summary(const SuperBlock& grown) {
  fill_unused_summary(slab_count());
  co_return co_await write_whole_summary(grown.find(PartitionId::slab_summary).start);
}

/// Nothing waits here: before it all see the old volume, behind it all see the new one.
void SlabDepot::grow(const SuperBlock& grown) {
  layout_ = SlabLayout(grown.depot);
  summary_start_ = grown.find(PartitionId::slab_summary).start;
  const SlabNumber old_count = slab_count();
  add_slabs(std::exchange(grown_slabs_, {}));
  for (SlabNumber n = old_count; n < slab_count(); ++n) {
    Slab& slab = *slabs_[n];
    slab.summary().fullness_hint = fullness_hint(config_.data_blocks, layout_.slab_bits());
    // became_ready() counts it down again and makes its blocks free.
    ++unscrubbed_;
    became_ready(slab);
  }
  writer_.release();
}

}  // namespace uvdo
