// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/map_update.h"

#include <array>

#include "base/prefetch.h"

namespace uvdo {

/// On a large volume hardly anything of what a change touches is in the processor's caches: the
/// entry of the map, the count of the block that was there, the end of its slab's journal. It
/// comes faster for all blocks together than when each is changed.
void MapUpdate::prefetch_changes(std::span<const WriteBlock> blocks) {
  std::array<const std::byte*, WriteJob::kMaxBlocks> entries;
  std::array<Pbn, WriteJob::kMaxBlocks> replaced;
  std::size_t count = 0;
  std::size_t replaced_count = 0;
  for (const WriteBlock& block : blocks) {
    if (block.stage != Stage::located) continue;
    // Three passes, each of which reads what the one before has had fetched.
    const std::byte* entry = map_.find_entry(block.lbn);
    if (entry == nullptr) continue;
    prefetch(entry);
    entries[count++] = entry;
  }
  for (const std::byte* entry : std::span(entries).first(count)) {
    const BlockMapping old = decode_block_mapping(entry);
    if (old.pbn == kZeroPbn || !depot_.layout().is_valid(old)) continue;
    depot_.prefetch_slab(old.pbn);
    replaced[replaced_count++] = old.pbn;
  }
  for (const Pbn pbn : std::span(replaced).first(replaced_count)) depot_.prefetch_change(pbn);
}

Task<Result<void>> MapUpdate::apply(WriteJob& job) {
  const auto blocks = job.all();
  prefetch_changes(blocks);
  for (std::size_t i = 0; i < blocks.size();) {
    if (blocks[i].stage != Stage::located) {
      ++i;
      continue;
    }
    const PageNumber page = page_number(blocks[i].lbn);
    LeafPin leaf = map_.cached_leaf(page);
    if (!leaf) {
      // All that are missing from here on, so that a job over many leaves waits once.
      co_await fetch_leaves(job, blocks.subspan(i));
      auto loaded = co_await leaf_for_write(page);
      if (!loaded) co_return std::move(loaded).error();
      leaf = std::move(*loaded);
    }
    // All blocks of one leaf under one pin.
    for (; i < blocks.size() && page_number(blocks[i].lbn) == page; ++i) {
      if (blocks[i].stage != Stage::located) continue;
      auto outcome = try_apply(job, blocks[i], *leaf);
      if (!outcome) co_return std::move(outcome).error();
      if (!Ledger::is_waiting(*outcome)) continue;
      auto applied = co_await apply_in_leaf(job, blocks[i], *leaf);
      if (!applied) co_return applied;
    }
  }
  let_go_of_leaves(job);
  co_return Result<void>();
}

/// Without a look at the rest of the job: its other blocks may be anywhere by now.
Task<Result<void>> MapUpdate::apply_alone(WriteJob& job, WriteBlock& block) {
  const PageNumber page = page_number(block.lbn);
  LeafPin leaf = map_.cached_leaf(page);
  if (!leaf) {
    auto loaded = co_await leaf_for_write(page);
    if (!loaded) co_return std::move(loaded).error();
    leaf = std::move(*loaded);
  }
  auto applied = try_apply(job, block, *leaf);
  if (!applied) co_return std::move(applied).error();
  if (Ledger::is_waiting(*applied)) co_return co_await apply_in_leaf(job, block, *leaf);
  co_return Result<void>();
}

/// Has the leaves that these blocks of the job change and that are not in memory read side by side.
Task<void> MapUpdate::fetch_leaves(WriteJob& job, std::span<const WriteBlock> blocks) {
  TaskGroup reads(executor_);
  for (const WriteBlock& block : blocks) {
    const PageNumber page = page_number(block.lbn);
    if (block.stage == Stage::located && !map_.has_leaf(page)) reads.start(fetch(job, page));
  }
  co_await reads.wait();
}

/// It is held for the job so that it is still there when its turn comes, unless too many are: jobs
/// that hold leaves wait for frames of the cache for others.
Task<void> MapUpdate::fetch(WriteJob& job, PageNumber page) {
  auto leaf = co_await map_.leaf(page);  // a failure is seen by who needs it
  if (!leaf || !*leaf || job.fetched_count == job.fetched.size()) co_return;
  if (leaves_held_ >= map_.cache_pages() / 4) co_return;
  ++leaves_held_;
  job.fetched[job.fetched_count++] = std::move(*leaf);
}

void MapUpdate::let_go_of_leaves(WriteJob& job) {
  leaves_held_ -= job.fetched_count;
  while (job.fetched_count > 0) job.fetched[--job.fetched_count] = LeafPin();
}

/// A leaf is never taken away again, so that one that was made is there.
Task<Result<LeafPin>> MapUpdate::leaf_for_write(PageNumber page) {
  auto leaf = co_await map_.leaf(page);
  if (leaf) check(static_cast<bool>(*leaf), "a leaf is missing that was made for this write");
  co_return leaf;
}

/// Tries until the change is made or refused; the leaf stays pinned all the while.
Task<Result<void>> MapUpdate::apply_in_leaf(WriteJob& job, WriteBlock& block, MapPage& leaf) {
  while (true) {
    auto outcome = try_apply(job, block, leaf);
    if (!outcome) co_return std::move(outcome).error();
    if (!Ledger::is_waiting(*outcome)) co_return Result<void>();
    co_await ledger_.wait_for(*outcome);
  }
}

Result<Ledger::Outcome> MapUpdate::try_apply(WriteJob& job, WriteBlock& block, MapPage& leaf) {
  if (job.refusal != nullptr && job.refusal->is_given()) return Refusal::error();
  // A block given out to this write has a provisional count; another's needs a reference that is
  // left.
  const bool is_own = block.location.pbn == kZeroPbn || block.is_new || block.claimed;
  auto changed = ledger_.remap(leaf, block.lbn, block.location,
                               is_own ? Ledger::Owner::caller : Ledger::Owner::others);
  if (!changed) return std::move(changed).error();
  if (changed->outcome == Ledger::Outcome::cannot_share) {
    // The caller places it anew, in a block of its own.
    block.enter(Stage::undecided);
  } else if (changed->outcome == Ledger::Outcome::done) {
    block.enter(Stage::applied);
    job.last_point = std::max(job.last_point, changed->point);
  }
  return changed->outcome;
}

}  // namespace uvdo
