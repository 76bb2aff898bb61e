// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/growth_in_use.h"

#include <fmt/core.h>

#include "base/saturating.h"
#include "base/size_text.h"
#include "format/slab_layout.h"
#include "format/volume_layout.h"
#include "volume/memory_plan.h"

namespace uvdo {

Result<void> Growth::check_may_grow(const GrowthRequest& request) const {
  if (!admission_.is_open()) {
    return Error(Errc::no_space,
                 "writes wait for room beneath the volume; make some before it is changed");
  }
  if (life_.is_stopping()) return Entrance::refused();
  if (suspension_.is_suspended()) {
    return Error(Errc::busy, "the volume is suspended; resume it first");
  }
  if (notifier_.is_read_only()) {
    return Error(Errc::read_only,
                 fmt::format("the volume is in read-only mode and cannot be changed: {}",
                             notifier_.reason().message()));
  }
  // behaviour.md, 12 allows no physical growth then; the logical size does not touch slabs.
  if (request.may_move_metadata() && ledger_.is_recovering()) {
    return Error(Errc::busy,
                 fmt::format("the volume is recovering ({}%) and cannot grow before that has "
                             "ended; try again then",
                             ledger_.recovery_percentage()));
  }
  return {};
}

Task<Result<void>> Growth::grow(GrowthRequest request) {
  PatientRequest patient(entrance_.patient(), admission_.request_time());
  auto done = co_await patient.answer(grow_in_turn(patient, request));
  if (!patient.is_refused()) co_return done;
  co_return std::move(done).error().within("the volume has not grown");
}

Task<Result<void>> Growth::grow_in_turn(PatientRequest& patient, GrowthRequest request) {
  const Refusal refusal(patient);
  const RequestPass pass(administration_.under_way());
  co_await administration_.begin();
  auto done = check_may_grow(request);
  if (done && refusal.is_given()) done = Refusal::error();
  if (done) done = co_await grow_alone(request, refusal);
  administration_.end();
  co_return done;
}

/// In its turn: nobody else changes the volume's sizes, or suspends it, meanwhile.
Task<Result<void>> Growth::grow_alone(const GrowthRequest& request, const Refusal& refusal) {
  auto grown = grown_super_block({geometry_, super_blocks_.current()}, store_, request);
  if (!grown) co_return std::move(grown).error();
  if (*grown == super_blocks_.current()) co_return Result<void>();
  // It is taken before anything is changed, and handed over when the growth is stable.
  auto memory = take_memory(*grown);
  if (!memory) co_return std::move(memory).error().within("the volume keeps its size");
  const VolumeConfig before = super_blocks_.current().config;
  Result<void> done;
  // The trees grow by use; until a new size is stable no client may rely on it.
  if (grown->config.physical_blocks > before.physical_blocks) {
    done = co_await move_metadata(*grown, std::move(memory->slabs), refusal);
  } else {
    done = co_await change_super_block(*grown);
  }
  // Given back just before the parts take it for themselves.
  memory->rest = PageMemory();
  if (!done) co_return std::move(done).error().within("the volume keeps its size");
  ledger_.tell_of_growth(super_blocks_.current());
  tell(before);
  co_return done;
}

void Growth::tell(const VolumeConfig& before) const {
  const VolumeConfig& now = super_blocks_.current().config;
  if (now.physical_blocks > before.physical_blocks) {
    log_(fmt::format("the physical size has grown from {} to {}, {} slabs",
                     exact_size_text(before.physical_blocks * kBlockSize),
                     exact_size_text(now.physical_blocks * kBlockSize),
                     ledger_.depot().slab_count()));
  }
  if (now.logical_blocks > before.logical_blocks) {
    log_(fmt::format("the logical size has grown from {} to {}",
                     exact_size_text(before.logical_blocks * kBlockSize),
                     exact_size_text(now.logical_blocks * kBlockSize)));
  }
}

Result<Growth::Memory> Growth::take_memory(const SuperBlock& grown) const {
  const MemoryPlan plan = plan_memory(options_, geometry_, grown);
  const std::uint64_t has = plan_memory(options_, geometry_, super_blocks_.current()).total();
  if (options_.memory_within_reach && plan.total() > has) {
    auto fits =
        check_memory(plan, 0, options_.memory_within_reach(), "give smaller sizes, or free some");
    if (!fits) return std::move(fits).error();
  }
  // Taken for certain, and not only asked for: between the question and the use others may have got
  // it.
  const std::uint64_t added = difference(plan.total(), has);
  const std::uint64_t slabs = std::min(
      added, SlabDepot::tables_of(grown.depot.slab, difference(grown.depot.slab_count(),
                                                               ledger_.depot().slab_count())));
  auto tables = PageMemory::try_take(slabs);
  auto rest = PageMemory::try_take(added - slabs);
  if (tables && rest) return Memory{std::move(*tables), std::move(*rest)};
  return Error(Errc::no_memory, fmt::format("the larger volume needs {} more of memory, which the "
                                            "machine does not give; give smaller sizes",
                                            size_text(added)));
}

/// Both holds are taken before anything is copied, and released after the super block, whichever of
/// the two sizes it says. Entries and changes are made all the while, in memory.
Task<Result<void>> Growth::move_metadata(const SuperBlock& grown, PageMemory slabs,
                                         const Refusal& refusal) {
  RecoveryJournal& journal = ledger_.journal();
  SlabDepot& depot = ledger_.depot();
  auto done = co_await store_.extend(volume_end(geometry_, grown));
  if (done) done = co_await store_.will_leave_unused(unused_byte(geometry_, grown));
  if (!done) co_return done;
  // Slabs first: who writes them waits for commits.
  co_await depot.begin_growth(grown, std::move(slabs));
  if (refusal.is_given()) {
    depot.give_up_growth();
    co_return Refusal::error();
  }
  // Nothing is written to the old ring from here on, so that the copy stays equal to it.
  co_await journal.begin_move();
  const Pbn old_ring = journal.start();
  const Partition ring = grown.find(PartitionId::recovery_journal);
  if (!options_.faults.is_on(Fault::growth_without_copy)) {
    done = within("copying the recovery journal",
                  co_await copy_blocks(PbnDevice(gates_.top(), geometry_.bio_offset), old_ring,
                                       ring.start, ring.blocks));
  }
  if (done && !refusal.is_given()) {
    done = within("the larger slab summary", co_await depot.write_grown_summary(grown));
  }
  if (done && refusal.is_given()) done = Refusal::error();
  // Until here the old volume is whole: whatever fails leaves it as it was.
  if (done) done = co_await change_super_block(grown);
  // The journal goes on in the ring that the stable super block names.
  if (!done) depot.give_up_growth();
  journal.end_move(done ? ring.start : old_ring);
  co_return done;
}

Task<Result<void>> Growth::change_super_block(SuperBlock changed) {
  auto done = co_await super_blocks_.change([&](SuperBlock& next) -> Result<void> {
    if (notifier_.is_read_only()) return notifier_.error();
    next = changed;
    return {};
  });
  if (!done) notifier_.enter(done.error());  // nobody knows what is on disk now
  co_return done;
}

}  // namespace uvdo
