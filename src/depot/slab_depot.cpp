// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab_depot.h"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>

#include <fmt/core.h>

#include "base/saturating.h"
#include "base/unset.h"

namespace uvdo {

SlabDepot::SlabDepot(Executor& executor, PbnDevice device, const SuperBlock& super_block,
                     RecoveryJournal& journal, ReadOnlyNotifier& notifier, const DepotPools& pools,
                     FaultPoints faults)
    : executor_(executor),
      device_(device),
      journal_(journal),
      notifier_(notifier),
      faults_(faults),
      layout_(super_block.depot),
      config_(super_block.depot.slab),
      nonce_(super_block.nonce),
      summary_start_(super_block.find(PartitionId::slab_summary).start),
      given_back_(executor),
      promises_changed_(executor),
      most_frees_(pools.frees),
      most_closed_(std::min(pools.journal_blocks, kMostClosed)),
      summary_(kSummaryBlocksPerZone * kBlockSize),
      writer_(executor, 1),
      reference_memory_(kReferenceBatch * kBlockSize),
      room_(executor),
      readers_ended_(executor) {
  epochs_.on_over([this] {
    if (!readers_ended_.empty()) readers_ended_.wake_all();
  });
  // All tables in one piece of memory, which the system gives as slabs come into use.
  std::vector<std::unique_ptr<Slab>> slabs;
  const SlabMemory& memory = slab_memory_.emplace_back(config_, layout_.slab_count());
  for (SlabNumber i = 0; i < layout_.slab_count(); ++i) slabs.push_back(make_slab(memory, i, 0));
  add_slabs(std::move(slabs));
  unscrubbed_ = slab_count();
  journal_memory_.add(pools.journal_blocks);
  pending_frees_.reserve(pools.most_frees());
  watched_.reserve(pools.blocks_at_once);
  epochs_.reserve(pools.most_frees());
}

std::unique_ptr<Slab> SlabDepot::make_slab(const SlabMemory& memory, SlabNumber index,
                                           SlabNumber first) {
  return std::make_unique<Slab>(first + index, config_, nonce_, memory.tables(index),
                                journal_memory_);
}

void SlabDepot::add_slabs(std::vector<std::unique_ptr<Slab>> slabs) {
  // Besides the pool, a block for each slab: the one that it is filling.
  journal_memory_.add(slabs.size());
  slabs_.reserve(slabs_.size() + slabs.size());
  std::ranges::move(slabs, std::back_inserter(slabs_));
  to_write_.reserve(slabs_.size());
  to_write_counts_.reserve(slabs_.size());
}

void SlabDepot::became_ready(Slab& slab) {
  --unscrubbed_;
  free_blocks_ += slab.free_blocks();
  least_unallocated_ += slab.free_blocks();
  wake_waiters();
}

// ---- space

/// Where somebody seeks a block, nobody is promised any: what comes back is for those who wait.
bool SlabDepot::reserve(std::uint64_t count) {
  collect_frees(count);
  if (free_blocks_ < count || seekers_ > 0) return false;
  free_blocks_ -= count;
  promised_ += count;
  return true;
}

void SlabDepot::unreserve(std::uint64_t count) {
  check(count <= promised_, "more blocks given back than were promised");
  promised_ -= count;
  free_blocks_ += count;
  if (seekers_ > 0) promises_changed_.wake_all();
}

Task<void> SlabDepot::wait_for_promises() {
  ++seekers_;
  co_await promises_changed_.wait();
  --seekers_;
}

std::optional<PbnRun> SlabDepot::allocate(std::uint32_t wanted, bool promised) {
  // A promise is covered by blocks that are free already.
  collect_frees(promised ? 0 : wanted);
  if (!promised) {
    // The rest of the slabs' free blocks is others' promise.
    wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, free_blocks_));
  }
  if (wanted == 0) return std::nullopt;
  while (true) {
    if (has_open_slab_) {
      if (const auto run = slabs_[open_slab_]->allocate(wanted)) {
        if (promised) {
          promised_ -= run->count;
          if (seekers_ > 0) promises_changed_.wake_all();
        } else {
          free_blocks_ -= run->count;
        }
        note_allocation();
        return PbnRun{layout_.pbn_of(open_slab_, run->first), run->count};
      }
    }
    if (!open_next_slab()) {
      check(!promised, "a promised block is not there");
      return std::nullopt;
    }
  }
}

bool SlabDepot::open_next_slab() {
  // The slab with the most free blocks, in powers of two, so that a little more room is no reason
  // to move on; one that was never used ranks as if half full, so that used ones fill up first.
  const Slab* best = nullptr;
  int best_rank = -1;
  for (const auto& slab : slabs_) {
    if (!slab->is_ready() || slab->free_blocks() == 0) continue;
    const std::uint64_t weight =
        slab->is_pristine() ? slab->free_blocks() / 2 : slab->free_blocks();
    const int rank = static_cast<int>(std::bit_width(weight));
    if (rank > best_rank) {
      best = slab.get();
      best_rank = rank;
    }
  }
  if (best == nullptr) return false;
  if (best->is_pristine()) {
    ++counters_.allocator.slabs_opened;
  } else {
    ++counters_.allocator.slabs_reopened;
  }
  open_slab_ = best->number();
  has_open_slab_ = true;
  slabs_[open_slab_]->rewind();
  return true;
}

void SlabDepot::release(Pbn pbn) {
  slab_of(pbn).release(layout_.sbn_of(pbn));
  ++free_blocks_;
  ++released_blocks_;
}

/// Never more than half of what is left, so that writers hardly ever have to wait for it.
std::optional<PbnRun> SlabDepot::claim_run(SlabNumber slab, Sbn begin, Sbn end,
                                           std::uint32_t most) {
  const std::uint64_t half = free_blocks_ - free_blocks_ / 2;
  const auto run = slabs_[slab]->claim_run(
      begin, end, static_cast<std::uint32_t>(std::min<std::uint64_t>(most, half)));
  if (!run) return std::nullopt;
  free_blocks_ -= run->count;
  claimed_blocks_ += run->count;
  ++claimed_runs_;
  return PbnRun{layout_.pbn_of(slab, run->first), run->count};
}

void SlabDepot::give_back(PbnRun run) {
  slab_of(run.first).give_back({layout_.sbn_of(run.first), run.count});
  free_blocks_ += run.count;
  claimed_blocks_ -= run.count;
  --claimed_runs_;
  given_back_.wake_all();
}

void SlabDepot::leave_freed_areas(SlabNumber slab, Sbn begin, Sbn end) {
  end = std::min(end, static_cast<Sbn>(config_.data_blocks));
  for (Sbn at = begin; at < end; at += kFreedAreaBlocks) slabs_[slab]->note_freed_area(at);
}

/// In the order in which they were freed; each look is cheap, so that whoever wants room looks.
void SlabDepot::collect_frees(std::uint64_t needed) {
  for (std::size_t n = 0; !pending_frees_.empty(); ++n) {
    if (n >= kFreesAtOnce && free_blocks_ >= needed) return;
    const bool stable = journal_.is_committed(pending_frees_.oldest_point()) ||
                        faults_.is_on(Fault::reuse_before_stable);
    const bool unread = epochs_.is_over(oldest_readers()) || faults_.is_on(Fault::reuse_while_read);
    // Those behind it wait for the same or for more.
    if (!stable || !unread) return;
    if (const auto far = pending_frees_.first_of(2 * kFreesAhead)) {
      slab_of(*far).prefetch_itself();
    }
    if (const auto later = pending_frees_.first_of(kFreesAhead)) {
      slab_of(*later).prefetch_count(layout_.sbn_of(*later));
      pending_frees_.prefetch(*later);
    }
    pending_frees_.pop_oldest([this](Pbn pbn) {
      Watch* watch = watched_.empty() ? nullptr : watched_.find(pbn.value());
      if (watch != nullptr) watch->freed = true;
      release(pbn);
    });
  }
}

Task<void> SlabDepot::wait_for_fewer_frees() {
  while (has_most_frees() && !notifier_.is_read_only()) {
    collect_frees();
    if (!has_most_frees()) co_return;
    ++counters_.free_shortages;
    co_await wait_for_frees();
  }
}

/// Either a commit, which makes all entries stable that are waited for now, or the end of readers.
Task<void> SlabDepot::wait_for_frees() {
  if (pending_frees_.empty()) {
    if (claimed_runs_ > 0) co_await given_back_.wait();
    co_return;
  }
  const JournalPoint point = pending_frees_.newest_point();
  if (!journal_.is_committed(point)) {
    // An error means read-only mode, for which all who wait here look.
    [[maybe_unused]] const auto seen_by_callers = co_await journal_.commit(point);
  } else {
    // Committed, but somebody may still read what was there.
    collect_frees();
    if (!pending_frees_.empty() && !epochs_.is_over(oldest_readers())) {
      co_await readers_ended_.wait();
    }
  }
  collect_frees();
}

// ---- references

bool SlabDepot::may_share(BlockMapping mapping) {
  const Slab& slab = slab_of(mapping.pbn);
  if (!slab.is_ready()) return false;
  const ReferenceCount count = slab.count(layout_.sbn_of(mapping.pbn));
  if (count == kProvisional) return pending_frees_.contains(mapping.pbn);
  // The fragments of a new compressed block get their own references one by one: those must be
  // left.
  const unsigned limit =
      mapping.is_compressed() ? kMaxReferences - unsigned{kMaxFragments} : kMaxReferences;
  return count != kFree && count < limit;
}

void SlabDepot::keep_for_readers(Pbn pbn) {
  if (!pending_frees_.contains(pbn) || faults_.is_on(Fault::share_what_gets_free)) return;
  // It becomes free later than planned: not before those who read now have ended.
  pending_frees_.take_up(pbn);
  // The last point, although its own may be older: points must not decrease.
  pending_frees_.add(pbn, journal_.last_point(), epochs_.retire());
}

void SlabDepot::watch(Pbn pbn) { ++watched_.insert(pbn.value(), Watch{}).users; }

/// The last one who watches ends the note.
void SlabDepot::unwatch(Pbn pbn) {
  Watch* watch = watched_.find(pbn.value());
  check(watch != nullptr, "a block that nobody watches");
  if (--watch->users == 0) watched_.erase(pbn.value());
}

/// Needs a watch(): without one nothing is noted.
bool SlabDepot::was_freed(Pbn pbn) {
  const Watch* watch = watched_.find(pbn.value());
  check(watch != nullptr, "a block that nobody watches");
  return watch->freed;
}

std::optional<ReferenceCount> SlabDepot::count_of(Pbn pbn) const {
  const Slab& slab = slab_of(pbn);
  if (!slab.is_ready()) return std::nullopt;
  return slab.count(layout_.sbn_of(pbn));
}

bool SlabDepot::claim_free(Pbn pbn) {
  // A block that was promised to somebody must stay free.
  if (free_blocks_ == 0 || !slab_of(pbn).claim_free(layout_.sbn_of(pbn))) return false;
  --free_blocks_;
  note_allocation();
  return true;
}

bool SlabDepot::has_room(Pbn pbn) const { return slab_of(pbn).has_room(); }

Task<void> SlabDepot::wait_for_room() {
  ++counters_.slab_journal.blocked_count;
  const bool is_short = journal_memory_.is_short();
  if (is_short) ++counters_.journal_memory_shortages;
  // A slab that waits for scrubbing gets room by that alone. (Many may come here in one turn.)
  if (!needs_write_back_ && (is_short || std::ranges::any_of(slabs_, [](const auto& slab) {
                               return slab->is_ready() && !slab->has_room();
                             }))) {
    request_write_back();
  }
  co_await room_.wait();
}

void SlabDepot::request_write_back() {
  if (needs_write_back_) return;
  needs_write_back_ = true;
  if (on_write_back_needed_) on_write_back_needed_();
}

/// Plain function: nothing comes between the journal entry that the caller has added and this.
Result<void> SlabDepot::change(Pbn pbn, ReferenceOperation operation, JournalPoint point) {
  Slab& slab = slab_of(pbn);
  const SlabSequence open = slab.next_sequence();
  // Shared again before it was free (may_share() has allowed it): it stays in use.
  if (operation == ReferenceOperation::data_increment && pending_frees_.size() > 0 &&
      slab.count(layout_.sbn_of(pbn)) == kProvisional && pending_frees_.contains(pbn)) {
    pending_frees_.take_up(pbn);  // before it was free
  }
  auto freed = slab.apply(layout_.sbn_of(pbn), operation, point, journal_);
  if (!freed) return std::move(freed).error();
  if (*freed) pending_frees_.add(pbn, point, epochs_.retire());
  note_closed(slab, open);
  return {};
}

/// After a change of a slab whose open journal block was `open` before.
void SlabDepot::note_closed(const Slab& slab, SlabSequence open) {
  if (slab.next_sequence() == open) return;
  ++closed_blocks_;
  if (closed_blocks_ >= most_closed_ || (closed_blocks_ >= kClosedBlocksPerPass &&
                                         slab.journal_blocks_in_use() >= config_.flushing)) {
    request_write_back();
  }
}

Result<void> SlabDepot::drop(std::span<const BlockMapping> mappings, JournalPoint point) {
  UVDO_UNSET std::array<Sbn, kMostDropped> blocks;           // NOLINT: filled as far as used
  UVDO_UNSET std::array<std::uint16_t, kMostDropped> freed;  // NOLINT: likewise
  const std::size_t count = mappings.size();
  for (std::size_t i = 0; i < count; ++i) blocks[i] = layout_.sbn_of(mappings[i].pbn);
  Slab& slab = slab_of(mappings[0].pbn);
  const SlabSequence open = slab.next_sequence();
  auto dropped = slab.drop(std::span(blocks).first(count), point, journal_, freed);
  if (!dropped) return std::move(dropped).error();
  // One epoch for all: nobody can begin to read in between.
  PendingFrees::Several frees(pending_frees_, epochs_.retire());
  for (std::size_t i = 0; i < *dropped; ++i) {
    const JournalPoint entry{point.sequence,
                             static_cast<std::uint16_t>(point.entry_count + freed[i])};
    frees.add(mappings[freed[i]].pbn, entry);
  }
  note_closed(slab, open);
  return {};
}

std::uint64_t SlabDepot::take_peak_allocated() {
  note_allocation();
  // The fewest blocks that were unallocated are the most that were allocated.
  const std::uint64_t all = slabs_.size() * config_.data_blocks;
  return difference(all, std::exchange(least_unallocated_, unallocated()));
}

std::uint64_t SlabDepot::allocated_blocks() const {
  std::uint64_t total = 0;
  for (const auto& slab : slabs_) {
    if (slab->is_ready()) total += config_.data_blocks - slab->free_blocks();
  }
  return difference(total, pending_frees_.size() + claimed_blocks_);
}

void SlabDepot::check_invariants() const {
  SlabNumber unready = 0;
  std::uint64_t free = 0;
  for (const auto& slab : slabs_) {
    slab->check_invariants();
    unready += slab->is_ready() ? 0U : 1U;
    free += slab->is_ready() ? slab->free_blocks() : 0;
  }
  check(unready == unscrubbed_, "the slabs that wait for scrubbing are counted");
  check(free == free_blocks_ + promised_, "free blocks are promised to somebody or to nobody");
  check(pending_frees_.size() + claimed_blocks_ <=
            (slab_count() - unready) * config_.data_blocks - free,
        "blocks that are about to become free, or that are given back, are not free");
}

}  // namespace uvdo
