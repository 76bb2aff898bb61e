// SPDX-License-Identifier: GPL-2.0-or-later
// Growth of a volume in use (behaviour.md, 12). Nobody is stopped for it: writers only wait if
// the journal's memory is full before its ring has been copied.
#include <fmt/core.h>

#include "base/saturating.h"
#include "base/size_text.h"
#include "format/volume_layout.h"
#include "volume/growth.h"
#include "volume/memory_plan.h"
#include "volume/volume.h"

namespace uvdo {

Result<void> Volume::check_may_change() {
  if (!room_.is_open()) {
    return Error(Errc::no_space,
                 "writes wait for room beneath the volume; make some before it is changed");
  }
  if (stopping_) return Error(Errc::cancelled, "the volume is being stopped");
  if (suspended_) return Error(Errc::busy, "the volume is suspended; resume it first");
  if (notifier_.is_read_only()) {
    return Error(Errc::read_only,
                 fmt::format("the volume is in read-only mode and cannot be changed: {}",
                             notifier_.reason().message()));
  }
  return {};
}

Task<Result<void>> Volume::grow(GrowthRequest request) {
  PatientRequest patient(patient_requests_, request_time());
  auto done = co_await patient.answer(grow_in_turn(patient, request));
  if (!patient.is_refused()) co_return done;
  co_return std::move(done).error().within("the volume has not grown");
}

Task<Result<void>> Volume::grow_in_turn(PatientRequest& patient, GrowthRequest request) {
  const Refusal refusal(patient);
  const RequestPass pass(administrators_);
  co_await administration_.acquire();
  auto done = check_may_change();
  if (done && request.may_move_metadata() && is_recovering()) {
    done =
        Error(Errc::busy,
              fmt::format("the volume is recovering ({}%) and cannot grow before that has ended; "
                          "try again then",
                          recovery_percentage()));
  }
  if (done && refusal.is_given()) done = Refusal::error();
  if (done) done = co_await grow_alone(request, refusal);
  administration_.release();
  co_return done;
}

Task<Result<void>> Volume::grow_alone(const GrowthRequest& request, const Refusal& refusal) {
  auto grown = grown_super_block({geometry_, super_block_}, store_, request);
  if (!grown) co_return std::move(grown).error();
  if (*grown == super_block_) co_return Result<void>();
  // It is taken before anything is changed, and handed over when the growth is stable.
  auto memory = take_growth_memory(*grown);
  if (!memory) co_return std::move(memory).error().within("the volume keeps its size");
  const VolumeConfig before = super_block_.config;
  Result<void> done;
  // The trees grow by use; until a new size is stable no client may rely on it.
  if (grown->config.physical_blocks > before.physical_blocks) {
    done = co_await move_into_growth(*grown, std::move(memory->slabs), refusal);
  } else {
    done = co_await change_super_block(*grown);
  }
  memory->rest = PageMemory();
  if (done) tell_of_growth();
  if (!done) co_return std::move(done).error().within("the volume keeps its size");
  const VolumeConfig& now = super_block_.config;
  if (now.physical_blocks > before.physical_blocks) {
    log_(fmt::format("the physical size has grown from {} to {}, {} slabs",
                     exact_size_text(before.physical_blocks * kBlockSize),
                     exact_size_text(now.physical_blocks * kBlockSize), depot_->slab_count()));
  }
  if (now.logical_blocks > before.logical_blocks) {
    log_(fmt::format("the logical size has grown from {} to {}",
                     exact_size_text(before.logical_blocks * kBlockSize),
                     exact_size_text(now.logical_blocks * kBlockSize)));
  }
  co_return done;
}

Result<Volume::GrowthMemory> Volume::take_growth_memory(const SuperBlock& grown) const {
  const std::uint64_t needed = plan_memory(options_, geometry_, grown).total();
  const std::uint64_t has = plan_memory(options_, geometry_, super_block_).total();
  if (options_.memory_within_reach && needed > has) {
    auto fits = check_memory(plan_memory(options_, geometry_, grown), 0,
                             options_.memory_within_reach(), "give smaller sizes, or free some");
    if (!fits) return std::move(fits).error();
  }
  const std::uint64_t added = difference(needed, has);
  const std::uint64_t slabs = std::min(
      added, SlabDepot::tables_of(super_block_.depot.slab,
                                  difference(grown.depot.slab_count(), depot_->slab_count())));
  auto tables = PageMemory::try_take(slabs);
  auto rest = PageMemory::try_take(added - slabs);
  if (tables && rest) return GrowthMemory{std::move(*tables), std::move(*rest)};
  return Error(Errc::no_memory, fmt::format("the larger volume needs {} more of memory, which the "
                                            "machine does not give; give smaller sizes",
                                            size_text(added)));
}

/// The one place where all parts learn what they must know of the sizes in the super block.
void Volume::tell_of_growth() {
  const SlabLayout slabs(super_block_.depot);
  const bool has_new_slabs = slabs.slab_count() > depot_->slab_count();
  if (has_new_slabs || !notifier_.is_on(Fault::growth_not_told_to_map)) {
    map_->grow(slabs, super_block_.config.logical_blocks);
  }
  if (has_new_slabs) depot_->grow(super_block_);
}

Task<Result<void>> Volume::move_into_growth(const SuperBlock& grown, PageMemory slabs,
                                            const Refusal& refusal) {
  auto done = store_.extend(device_byte(Pbn{grown.config.physical_blocks}));
  if (!done) co_return done;
  // Slabs first: who writes them waits for commits.
  co_await depot_->begin_growth(grown, std::move(slabs));
  if (refusal.is_given()) {
    depot_->give_up_growth();
    co_return Refusal::error();
  }
  co_await journal_->begin_move();
  const Pbn old_ring = journal_->start();
  const Partition ring = grown.find(PartitionId::recovery_journal);
  if (!notifier_.is_on(Fault::growth_without_copy)) {
    done =
        co_await copy_blocks(device_, device_byte(old_ring), device_byte(ring.start), ring.blocks);
  }
  if (done && !refusal.is_given()) done = co_await depot_->write_grown_summary(grown);
  if (done && refusal.is_given()) done = Refusal::error();
  // Until here the old volume is whole: whatever fails leaves it as it was.
  if (done) done = co_await change_super_block(grown);
  if (!done) depot_->give_up_growth();
  journal_->end_move(done ? ring.start : old_ring);
  co_return done;
}

Task<Result<void>> Volume::change_super_block(SuperBlock changed) {
  auto done = co_await super_block_store_.change([&](SuperBlock& next) -> Result<void> {
    if (notifier_.is_read_only()) return notifier_.error();
    next = changed;
    return {};
  });
  if (!done) notifier_.enter(done.error());  // nobody knows what is on disk now
  co_return done;
}

}  // namespace uvdo
