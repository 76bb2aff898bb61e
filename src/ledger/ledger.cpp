// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger/ledger.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

BlockMapConfig map_config(const SuperBlock& super_block, const LedgerSettings& settings) {
  BlockMapConfig config;
  config.nonce = super_block.nonce;
  config.root_origin = super_block.block_map.root_origin;
  config.slabs = SlabLayout(super_block.depot);
  config.logical_blocks = super_block.config.logical_blocks;
  config.cache_pages = settings.block_map_cache_pages;
  config.maximum_age = settings.block_map_maximum_age;
  return config;
}

}  // namespace

Ledger::Ledger(Executor& executor, PbnDevice blocks, const SuperBlock& super_block,
               const LedgerSettings& settings, ReadOnlyNotifier& notifier, LogFunction log)
    : notifier_(notifier),
      faults_(settings.faults),
      log_(std::move(log)),
      journal_(executor, blocks, notifier, journal_config(super_block), settings.faults,
               settings.journal_memory),
      depot_(executor, blocks, super_block, journal_, notifier, settings.depot, settings.faults),
      map_(executor, blocks, journal_, notifier, static_cast<PageAllocator&>(*this),
           map_config(super_block, settings), settings.faults) {}

Result<Ledger::Remapped> Ledger::remap(MapPage& leaf, Lbn lbn, BlockMapping mapping, Owner owner) {
  if (notifier_.is_read_only()) return notifier_.error();
  const unsigned slot = leaf_slot(lbn);
  BlockMapping old = leaf.entry(slot);
  if (!depot_.layout().is_valid(old)) {
    log_({LogLevel::warning,
          fmt::format("the map entry of logical block {} was invalid and is taken as unmapped",
                      lbn.value())});
    old = kUnmapped;
  }
  // Nothing to change; but the entry that made it so may not be stable yet, and who asked for FUA
  // waits for the point that is returned.
  if (old == mapping) return Remapped{Outcome::done, journal_.last_point()};
  if (owner == Owner::others && !depot_.may_share(mapping)) {
    return Remapped{Outcome::cannot_share, {}};
  }
  // All that may have to wait is asked first, and nothing is done if it has to. Old and new block
  // may be of one slab: its has_room() is about two changes.
  if (!journal_.has_room()) return Remapped{Outcome::must_wait_for_journal, {}};
  if ((mapping.pbn != kZeroPbn && !depot_.has_room(mapping.pbn)) ||
      (old.pbn != kZeroPbn && !depot_.has_room(old.pbn))) {
    return Remapped{Outcome::must_wait_for_depot, {}};
  }
  // From here on there is no way back. The increment comes before the decrement (behaviour.md,
  // 5.1), so that a block which loses one fragment's reference and gets another's never counts 0 in
  // between.
  const JournalPoint point = journal_.add(
      {JournalOperation::data_remapping, leaf.pbn, static_cast<std::uint16_t>(slot), mapping, old});
  Result<void> counted;
  if (mapping.pbn != kZeroPbn) {
    counted = depot_.change(mapping.pbn, ReferenceOperation::data_increment, point);
  }
  if (counted && old.pbn != kZeroPbn) {
    counted = depot_.change(old.pbn, ReferenceOperation::data_decrement, point);
  }
  if (!counted) return fail(std::move(counted).error());
  map_.set(leaf, slot, mapping, point);
  savings_.changed(lbn, old, mapping);
  return Remapped{Outcome::done, point};
}

Task<void> Ledger::wait_for(Outcome outcome) {
  switch (outcome) {
    case Outcome::done:
    case Outcome::cannot_share: break;
    case Outcome::must_wait_for_journal: co_await journal_.wait_for_room(); break;
    case Outcome::must_wait_for_depot: co_await depot_.wait_for_room(); break;
  }
}

Result<std::uint64_t> Ledger::drop_run(MapPage& leaf, Lbn first, std::span<const BlockMapping> old,
                                       BlockMapping mapping) {
  if (old.empty()) return 0;
  const unsigned slot = leaf_slot(first);
  // One run of entries in one journal block, with one look at everything: the entries differ in
  // slot and old mapping alone.
  const JournalPoint point = journal_.add_run(leaf.pbn, slot, old, mapping);
  if (auto counted = depot_.drop(old, point); !counted) return fail(std::move(counted).error());
  map_.set_run(leaf, slot, old.size(), mapping, point, journal_.last_point());
  for (std::size_t i = 0; i < old.size(); ++i) savings_.changed(first + i, old[i], mapping);
  return old.size();
}

Error Ledger::fail(Error error) {
  notifier_.enter(error);
  return error;
}

void Ledger::wake_waiters() {
  depot_.wake_waiters();
  map_.wake_waiters();
  journal_.commits().wake_all();
}

void Ledger::tell_of_growth(const SuperBlock& super_block) {
  const SlabLayout slabs(super_block.depot);
  const bool has_new_slabs = slabs.slab_count() > depot_.slab_count();
  if (has_new_slabs || !faults_.is_on(Fault::growth_not_told_to_map)) {
    map_.grow(slabs, super_block.config.logical_blocks);
  }
  if (has_new_slabs) depot_.grow(super_block);
}

void Ledger::check_invariants() const {
  journal_.check_invariants();
  depot_.check_invariants();
  map_.check_invariants();
}

Task<Result<Pbn>> Ledger::allocate_page() {
  return seek_block([] {});
}

Task<Result<void>> Ledger::wait_for_room(Pbn pbn) {
  // Both at once: while the one was waited for, the other may have gone.
  while (!journal_.has_room() || !depot_.has_room(pbn)) {
    if (notifier_.is_read_only()) co_return notifier_.error();
    co_await wait_for(journal_.has_room() ? Outcome::must_wait_for_depot
                                          : Outcome::must_wait_for_journal);
  }
  co_return Result<void>();
}

/// Step two of behaviour.md, 5.4. The caller has waited in wait_for_room(), and nobody has run
/// since.
Result<JournalPoint> Ledger::commit_page(Pbn parent, unsigned slot, Pbn page) {
  const JournalPoint point =
      journal_.add({JournalOperation::block_map_remapping, parent, static_cast<std::uint16_t>(slot),
                    mapped_to(page), kUnmapped});
  auto counted = depot_.change(page, ReferenceOperation::block_map_increment, point);
  if (!counted) return fail(std::move(counted).error());
  return point;
}

}  // namespace uvdo
