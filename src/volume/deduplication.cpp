// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/deduplication.h"

#include <cstring>

#include "format/advice.h"
#include "format/zero_block.h"

namespace uvdo {

Task<void> Deduplication::find_locations(WriteJob& job) {
  std::size_t count = 0;
  for (WriteBlock& block : job.all()) {
    if (is_zero_block(block.data)) {
      block.is_zero = true;
      block.location = kMappedZero;
      block.enter(Stage::located);
      ++counters_.requests.zero_blocks_written;
    } else if (options_.deduplication) {
      job.hashed[count++] = block.data;
    }
  }
  if (count == 0) co_return;
  // Hashing touches the data alone, so that another thread may do it.
  const WorkPlace work = job.work_place(count, options_.work);
  co_await work.enter();
  record_names_of(std::span(job.hashed).first(count), job.names.data());
  co_await work.leave();
  std::size_t next = 0;
  job.query_count = 0;
  for (WriteBlock& block : job.all()) {
    if (block.is_zero) continue;
    block.name = job.names[next++];
    join(block);
    // Agents ask the index. Followers learn the place from their agent, and who has the same name
    // for other data is written without either.
    if (block.role == HashLocks::Role::agent && index_.get() != nullptr) {
      block.query = &job.queries[job.query_count++];
      *block.query = IndexQuery{};
      block.query->name = block.name;
    }
    if (block.role == HashLocks::Role::collision) ++counters_.hash_locks.concurrent_hash_collisions;
    if (block.role == HashLocks::Role::follower) ++counters_.hash_locks.concurrent_data_matches;
  }
  if (job.query_count > 0) co_await look_up(job);
}

void Deduplication::join(WriteBlock& block) {
  const auto joined = hash_locks_.join(block.name, block.data);
  block.role = joined.role;
  block.lock = joined.lock;
}

/// A lookup takes a bounded time: an index that is late says "not found" (behaviour.md, 7).
Task<void> Deduplication::look_up(WriteJob& job) {
  const std::size_t count = job.query_count;
  counters_.hash_locks.curr_dedupe_queries += count;
  co_await index_.get()->lookup(std::span(job.queries).first(count));
  counters_.hash_locks.curr_dedupe_queries -= count;
  // What the index names is read and compared, side by side.
  TaskGroup reads(executor_);
  for (WriteBlock& block : job.all()) {
    if (block.query == nullptr || !block.query->found) continue;
    if (const auto advice = decode_advice(block.query->data.data())) {
      reads.start(verify(block, *advice));
    }
  }
  co_await reads.wait();
}

Task<void> Deduplication::verify(WriteBlock& block, BlockMapping advice) {
  // The index may be older than the volume's layout, or wrong: nothing is believed.
  if (!depot_.layout().is_data_block(advice.pbn)) {
    ++counters_.errors.invalid_advice_pbn_count;
    co_return;
  }
  // Somebody uses the block, or it is free and may still hold what was once written there.
  bool usable = depot_.may_share(advice);
  if (usable) depot_.keep_for_readers(advice.pbn);
  if (!usable && depot_.claim_free(advice.pbn)) usable = block.claimed = true;
  if (usable) {
    // The caller's epoch keeps what the block holds while it is read.
    Buffer candidate = co_await buffers_.scratch.acquire(kBlockSize);
    const bool is_read = co_await reader_.read_unverified(advice, candidate.bytes());
    usable = is_read && (options_.faults.is_on(Fault::share_without_compare) ||
                         std::memcmp(candidate.data(), block.data, kBlockSize) == 0);
  }
  if (!usable) {
    ++counters_.hash_locks.dedupe_advice_stale;
    // A claimed block is free again, and given to whoever asks next.
    if (std::exchange(block.claimed, false)) depot_.release(advice.pbn);
    co_return;
  }
  ++counters_.hash_locks.dedupe_advice_valid;
  block.location = advice;
  block.enter(Stage::located);
}

Task<void> Deduplication::ask_again(WriteJob& job, WriteBlock& block) {
  if (block.query == nullptr) block.query = &job.queries[job.query_count++];
  *block.query = IndexQuery{};
  block.query->name = block.name;
  co_await index_.get()->lookup({block.query, 1});
  if (!block.query->found) co_return;
  if (const auto advice = decode_advice(block.query->data.data())) {
    co_await verify(block, *advice);
  }
}

Task<void> Deduplication::follow(WriteBlock& block, std::optional<ReadGuard>& guard) {
  // No epoch is held here: the agent may have to wait for blocks that are to become free.
  while (!block.lock->is_settled) co_await block.lock->settled.wait();
  // From the moment of being told on, the block may not change.
  guard.emplace(depot_.epochs());
  const auto location = block.lock->location;
  // The agent's place was true when it settled. Between then and now the block may have lost all of
  // its references and been given out again: was_freed() knows.
  const bool usable = location && depot_.layout().is_data_block(location->pbn) &&
                      !depot_.was_freed(location->pbn) && depot_.may_share(*location);
  if (usable) depot_.keep_for_readers(location->pbn);
  leave(block);
  if (!usable) co_return;
  block.location = *location;
  block.enter(Stage::located);
}

/// Followers may be told only what the map says already: a location that was never mapped has no
/// reference that could be shared.
void Deduplication::settle(WriteBlock& block) {
  HashLock& lock = *std::exchange(block.lock, nullptr);
  std::optional<BlockMapping> location;
  if (block.stage == Stage::applied) location = block.location;
  if (location && lock.users > 1) {
    // The job still holds the logical block, so that the reference just made is there now; but
    // nothing keeps it until the followers come.
    lock.is_watched = true;
    depot_.watch(location->pbn);
  }
  hash_locks_.settle(lock, location);
}

void Deduplication::settle_all(WriteJob& job) {
  for (WriteBlock& block : job.all()) {
    if (block.is_agent()) settle(block);
  }
}

void Deduplication::leave(WriteBlock& block) {
  HashLock& lock = *std::exchange(block.lock, nullptr);
  if (lock.is_watched && lock.users == 1) depot_.unwatch(lock.location->pbn);
  hash_locks_.leave(lock);
}

}  // namespace uvdo
