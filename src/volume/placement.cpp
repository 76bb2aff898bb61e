// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/placement.h"

#include "format/advice.h"

namespace uvdo {
namespace {

/// Work to name, place and map a block.
constexpr std::uint64_t kUnitsPerBlockStored = 120;

/// Followers wait for their agents; all others that have no location yet.
bool needs_own_block(const WriteBlock& block) {
  return block.stage == Stage::undecided && !block.is_follower();
}

}  // namespace

Task<Result<void>> Placement::store(WriteJob& job) {
  // Nobody waits for a job that was answered but who waits for its buffers.
  if (job.count == WriteJob::kMaxBlocks) co_await give_way(executor_, options_);
  executor_.spend(job.count * kUnitsPerBlockStored);
  auto done = co_await store_first(job);
  // In any case, also after an error: followers of other jobs wait for these agents, and this job
  // may wait for theirs next.
  deduplication_.settle_all(job);
  for (WriteBlock& block : job.all()) {
    if (!block.is_follower() || block.lock == nullptr) continue;
    if (done) done = co_await follow(job, block);
    if (block.lock != nullptr) deduplication_.leave(block);
  }
  for (WriteBlock& block : job.all()) {
    // Blocks that were taken and that the map does not refer to, because of an error. One whose
    // count is not provisional any more is not this write's to give back.
    if (block.stage == Stage::located && (block.claimed || block.is_new) &&
        !block.location.is_compressed() && depot_.count_of(block.location.pbn) == kProvisional) {
      depot_.release(block.location.pbn);
    }
  }
  maintenance_.note_new_entries();
  co_return done;
}

/// All but followers.
Task<Result<void>> Placement::store_first(WriteJob& job) {
  Result<void> done;
  {
    // In an epoch from before the index is asked until the map refers to what was found.
    std::optional<ReadGuard> guard(depot_.epochs());
    // Zeros and duplicates first, into the map at once: they need no room.
    co_await deduplication_.find_locations(job);
    done = co_await update_.apply(job);
    if (done && job.has_promise) {
      done = co_await place(job, guard);
      if (done) done = co_await update_.apply(job);
    }
  }
  if (done && !job.has_promise) {
    // No block is held here, so that waiting for space keeps nobody from freeing some.
    std::optional<ReadGuard> none;
    done = co_await place(job, none);
    if (done) done = co_await update_.apply(job);
  }
  co_return done;
}

/// Ends when the block is in the map: shared with its agent's, or as an agent of its own.
Task<Result<void>> Placement::follow(WriteJob& job, WriteBlock& block) {
  // (The packer applies and ends the blocks that it takes.)
  while (block.stage < Stage::applied) {
    if (block.is_follower()) {
      std::optional<ReadGuard> guard;
      co_await deduplication_.follow(block, guard);
      if (block.stage == Stage::located) {
        auto applied = co_await update_.apply(job);
        if (!applied) co_return applied;
        if (block.stage >= Stage::applied) break;
      }
      // No reference is left, or the agent failed: this block becomes the one to share next.
      deduplication_.join(block);
      if (block.is_follower()) continue;
    }
    auto done = co_await become_agent(job, block);
    if (block.is_agent()) deduplication_.settle(block);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Placement::become_agent(WriteJob& job, WriteBlock& block) {
  if (block.role == HashLocks::Role::agent && index_.get() != nullptr) {
    // Another may have made a new copy meanwhile.
    const ReadGuard guard(depot_.epochs());
    co_await deduplication_.ask_again(job, block);
    auto applied = co_await update_.apply(job);
    if (!applied || block.stage >= Stage::applied) co_return applied;
  }
  std::optional<ReadGuard> guard;
  if (job.has_promise) guard.emplace(depot_.epochs());  // else it may have to wait for frees
  auto done = co_await place(job, guard);
  if (done) done = co_await update_.apply(job);
  co_return done;
}

// ---- places for new data

Task<Result<void>> Placement::place(WriteJob& job, std::optional<ReadGuard>& guard) {
  if (!may_compress(job)) {
    jobs_.leave_way_to_packer(job);
    co_return co_await place_whole(job);
  }
  // Each block that can be compressed goes its own way through the packer from here on.
  TaskGroup packing(executor_);
  Result<void> packed;
  co_await packing_.start(job, packing, packed);
  jobs_.leave_way_to_packer(job);
  // What cannot be compressed does not wait for the rest.
  auto done = co_await place_whole(job);
  if (done) done = co_await update_.apply(job);
  if (done) packing_.park(job);
  guard.reset();  // those in the packer, which may take long, have guards of their own
  co_await packing.wait();
  for (const WriteBlock& block : job.all()) {
    // Nothing of the job is in the packer any more, so there is nothing to hurry.
    if (block.stage < Stage::applied) locks_.set_hurry(block.lbn, nullptr);
  }
  if (done) done = std::move(packed);
  co_return done;
}

Task<Result<void>> Placement::place_whole(WriteJob& job) {
  auto chosen = co_await choose_blocks(job);
  if (!chosen) co_return std::move(chosen).error();
  if (*chosen == 0) co_return Result<void>();
  // Written before the map says so; stable before the journal does, by the commit's flush.
  auto written = co_await writer_.write(std::span(job.writes).first(*chosen));
  if (!written && !options_.faults.is_on(Fault::write_error_ignored)) co_return written;
  tell_index(job);
  co_return Result<void>();
}

Task<Result<std::size_t>> Placement::choose_blocks(WriteJob& job) {
  std::uint32_t wanted = 0;
  for (const WriteBlock& block : job.all()) wanted += needs_own_block(block) ? 1U : 0U;
  std::size_t count = 0;
  PbnRun run;
  for (WriteBlock& block : job.all()) {
    if (!needs_own_block(block)) continue;
    if (run.count == 0) {
      if (job.promised > 0) {
        // Neighbours, as many as there are in one place; the loop asks again for the rest.
        run = *depot_.allocate(std::min(wanted, job.promised), true);
        job.promised -= run.count;
      } else {
        // Without a promise: it may have to wait for other writes, some of which may be followers
        // of this job's agents. These give up their part then.
        auto pbn = co_await ledger_.seek_block([&] { deduplication_.settle_all(job); });
        if (!pbn) co_return std::move(pbn).error();
        run = {*pbn, 1};
      }
    }
    block.location = mapped_to(run.first);
    block.is_new = true;
    block.enter(Stage::located);
    job.writes[count++] = {run.first, block.data};
    ++run.first;
    --run.count;
    --wanted;
  }
  co_return count;
}

void Placement::tell_index(WriteJob& job) {
  std::size_t notes = 0;
  for (const WriteBlock& block : job.all()) {
    // Told before the map refers to the block, which does no harm: advice is only a hint.
    if (block.stage == Stage::located && block.is_new && block.query != nullptr &&
        !block.location.is_compressed()) {
      job.notes[notes++] = {block.query, encode_advice(block.location)};
    }
  }
  if (notes > 0) index_.get()->record_all(std::span(job.notes).first(notes));
}

void Placement::finish(WriteJob& job) {
  jobs_.leave_way_to_packer(job);
  update_.let_go_of_leaves(job);
  // Duplicates, zeros and what failed have not used theirs.
  if (job.promised > 0) depot_.unreserve(std::exchange(job.promised, 0));
  for (WriteBlock& block : job.all()) {
    if (block.stage != Stage::ended) packing_.end(block);
  }
  jobs_.give(job);
}

}  // namespace uvdo
