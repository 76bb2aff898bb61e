// SPDX-License-Identifier: GPL-2.0-or-later
// From data to a mapping: zero test, record name, deduplication, compression or a block of its own,
// then the change of the map (behaviour.md, 5.1, 6 and 7).
//
// While it runs, a job is in the depot's read epochs: a block that it has found or made cannot get
// other content before the job has referred to it.
#include "volume/write_job.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "base/prefetch.h"
#include "format/advice.h"
#include "format/zero_block.h"

namespace uvdo {

namespace {

/// Work to name, place and map a block.
constexpr std::uint64_t kUnitsPerBlockStored = 120;
constexpr std::uint64_t kUnitsPerBlockCompressed = 600;

}  // namespace

Task<Result<void>> Volume::store(WriteJob& job) {
  Result<void> done;
  // Nobody waits for a job that was answered but who waits for its buffers.
  if (job.count == WriteJob::kMaxBlocks) co_await give_way();
  executor_.spend(job.count * kUnitsPerBlockStored);
  {
    std::optional<ReadGuard> guard(depot_->epochs());
    done = co_await find_locations(job);
    if (done) done = co_await apply(job);
    if (done && job.has_promise) {
      done = co_await place(job, guard);
      if (done) done = co_await apply(job);
    }
  }
  if (done && !job.has_promise) {
    // No block is held here, so that waiting for space keeps nobody from freeing some.
    std::optional<ReadGuard> none;
    done = co_await place(job, none);
    if (done) done = co_await apply(job);
  }
  leave_agents(job);
  for (WriteBlock& block : job.all()) {
    if (block.role != HashLocks::Role::follower || block.lock == nullptr) continue;
    if (done) done = co_await follow(job, block);
    if (block.lock != nullptr) leave(block);
  }
  for (WriteBlock& block : job.all()) {
    if (block.stage == Stage::located && (block.claimed || block.is_new) &&
        !block.location.is_compressed() && depot_->count_of(block.location.pbn) == kProvisional) {
      depot_->release(block.location.pbn);
    }
  }
  note_new_entries();
  co_return done;
}

Task<Result<void>> Volume::find_locations(WriteJob& job) {
  std::size_t count = 0;
  for (WriteBlock& block : job.all()) {
    if (is_zero_block(block.data)) {
      block.is_zero = true;
      block.location = kMappedZero;
      block.stage = Stage::located;
      ++requests_.zero_blocks_written;
    } else if (options_.deduplication) {
      job.hashed[count++] = block.data;
    }
  }
  if (count == 0) co_return Result<void>();
  const WorkPlace work = job.work_place(count, options_.work);
  co_await work.enter();
  record_names_of(std::span(job.hashed).first(count), job.names.data());
  co_await work.leave();
  std::size_t next = 0;
  job.query_count = 0;
  for (WriteBlock& block : job.all()) {
    if (block.is_zero) continue;
    block.name = job.names[next++];
    const auto joined = hash_locks_.join(block.name, block.data);
    block.role = joined.role;
    block.lock = joined.lock;
    if (joined.role == HashLocks::Role::agent && index_) {
      block.query = &job.queries[job.query_count++];
      *block.query = IndexQuery{};
      block.query->name = block.name;
    }
    if (joined.role == HashLocks::Role::collision) ++dedupe_.concurrent_collisions;
    if (joined.role == HashLocks::Role::follower) ++dedupe_.concurrent_matches;
  }
  if (job.query_count > 0) co_await look_up(job);
  co_return Result<void>();
}

Task<void> Volume::look_up(WriteJob& job) {
  const std::size_t count = job.query_count;
  dedupe_.queries_now += count;
  co_await index_->lookup(std::span(job.queries).first(count));
  dedupe_.queries_now -= count;
  TaskGroup reads(executor_);
  for (WriteBlock& block : job.all()) {
    if (block.query == nullptr || !block.query->found) continue;
    if (const auto advice = decode_advice(block.query->data.data())) {
      reads.start(verify(block, *advice));
    }
  }
  co_await reads.wait();
}

Task<void> Volume::verify(WriteBlock& block, BlockMapping advice) {
  if (!depot_->layout().is_data_block(advice.pbn)) {
    ++dedupe_.invalid_advice;
    co_return;
  }
  // Somebody uses the block, or it is free and may still hold what was once written there.
  bool usable = depot_->may_share(advice);
  if (usable) depot_->keep_for_readers(advice.pbn);
  if (!usable && depot_->claim_free(advice.pbn)) usable = block.claimed = true;
  if (usable) {
    Buffer candidate = co_await scratch_buffers_.acquire(kBlockSize);
    const bool is_read = co_await read_unverified(advice, candidate.bytes());
    usable = is_read && (notifier_.is_on(Fault::share_without_compare) ||
                         std::memcmp(candidate.data(), block.data, kBlockSize) == 0);
  }
  if (!usable) {
    ++dedupe_.advice_stale;
    if (std::exchange(block.claimed, false)) depot_->release(advice.pbn);
    co_return;
  }
  ++dedupe_.advice_valid;
  block.location = advice;
  block.stage = Stage::located;
}

void Volume::settle(WriteBlock& block) {
  HashLock& lock = *std::exchange(block.lock, nullptr);
  std::optional<BlockMapping> location;
  if (block.stage == Stage::applied) location = block.location;
  if (location && lock.users > 1) {
    // This job still holds the logical block, so that the reference just made is there now; but
    // nothing keeps it until the followers come.
    lock.is_watched = true;
    depot_->watch(location->pbn);
  }
  hash_locks_.settle(lock, location);
}

void Volume::leave_agents(WriteJob& job) {
  for (WriteBlock& block : job.all()) {
    if (block.role == HashLocks::Role::agent && block.lock != nullptr) settle(block);
  }
}

void Volume::leave(WriteBlock& block) {
  HashLock& lock = *std::exchange(block.lock, nullptr);
  if (lock.is_watched && lock.users == 1) depot_->unwatch(lock.location->pbn);
  hash_locks_.leave(lock);
}

Task<Result<void>> Volume::follow(WriteJob& job, WriteBlock& block) {
  // (The packer applies and ends the blocks that it takes.)
  while (block.stage < Stage::applied) {
    if (block.role == HashLocks::Role::follower) {
      // No epoch is held here: the agent may have to wait for blocks that are to become free.
      while (!block.lock->is_settled) co_await block.lock->settled.wait();
      const ReadGuard guard(depot_->epochs());
      const auto location = block.lock->location;
      const bool usable = location && depot_->layout().is_data_block(location->pbn) &&
                          !depot_->was_freed(location->pbn) && depot_->may_share(*location);
      if (usable) depot_->keep_for_readers(location->pbn);
      leave(block);
      if (usable) {
        block.location = *location;
        block.stage = Stage::located;
        auto applied = co_await apply(job);
        if (!applied) co_return applied;
        if (block.stage >= Stage::applied) break;
      }
      // No reference is left, or the agent failed: this block becomes the one to share next.
      const auto joined = hash_locks_.join(block.name, block.data);
      block.role = joined.role;
      block.lock = joined.lock;
      if (block.role == HashLocks::Role::follower) continue;
    }
    block.stage = Stage::undecided;
    Result<void> done;
    if (block.role == HashLocks::Role::agent && index_) done = co_await ask_again(job, block);
    if (done && block.stage < Stage::applied) {
      std::optional<ReadGuard> guard;
      if (job.has_promise) guard.emplace(depot_->epochs());  // else it may have to wait for frees
      done = co_await place(job, guard);
      if (done) done = co_await apply(job);
    }
    if (block.role == HashLocks::Role::agent && block.lock != nullptr) settle(block);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

/// A follower that became an agent: another may have made a new copy meanwhile. Also lets the index
/// know of the copy that this block makes if there is none.
Task<Result<void>> Volume::ask_again(WriteJob& job, WriteBlock& block) {
  const ReadGuard guard(depot_->epochs());
  if (block.query == nullptr) block.query = &job.queries[job.query_count++];
  *block.query = IndexQuery{};
  block.query->name = block.name;
  co_await index_->lookup({block.query, 1});
  if (block.query->found) {
    if (const auto advice = decode_advice(block.query->data.data())) {
      co_await verify(block, *advice);
    }
  }
  co_return co_await apply(job);
}

// ---- places for new data

bool Volume::may_compress(const WriteJob& job) const {
  return options_.compression && job.has_promise && job.durability == Durability::cached;
}

Task<Result<void>> Volume::place(WriteJob& job, std::optional<ReadGuard>& guard) {
  if (!may_compress(job)) {
    leave_way_to_packer(job);
    co_return co_await place_whole(job);
  }
  TaskGroup packing(executor_);
  Result<void> packed;
  co_await pack_all(job, packing, packed);
  leave_way_to_packer(job);
  // What cannot be compressed does not wait for the rest.
  auto done = co_await place_whole(job);
  if (done) done = co_await apply(job);
  if (done) park(job);
  guard.reset();  // those in the packer, which may take long, have guards of their own
  co_await packing.wait();
  for (const WriteBlock& block : job.all()) {
    if (block.stage < Stage::applied) locks_.set_hurry(block.lbn, nullptr);
  }
  if (done) done = std::move(packed);
  co_return done;
}

void Volume::park(WriteJob& job) {
  std::size_t in_packer = 0;
  std::size_t elsewhere = 0;
  for (const WriteBlock& block : job.all()) {
    if (block.stage == Stage::packing) {
      ++in_packer;
    } else if (block.stage < Stage::applied) {
      ++elsewhere;
    }
  }
  if (in_packer == 0) return;
  // Whoever waits for a block that is in the map can hurry nobody.
  for (WriteBlock& block : job.all()) {
    if (block.stage == Stage::applied) end_block(block);
  }
  if (elsewhere > 0) allow_hurry_in_packer(job);
  if (elsewhere > 0 || in_packer > parked_.available()) return;
  for (WriteBlock& block : job.all()) {
    if (block.stage == Stage::packing) {
      block.parked = parked_.take();
      std::memcpy(block.parked, block.data, kBlockSize);
      block.data = block.parked;
      locks_.publish(block.lbn, block.data);
      if (block.lock != nullptr) block.lock->data = block.data;
    }
  }
  job.release_buffers();
}

/// Those blocks of the job that are neither in the map nor in the packer go on when its fragments
/// have left: whoever waits for one of them has these written.
void Volume::allow_hurry_in_packer(WriteJob& job) {
  bool is_urgent = false;
  for (const WriteBlock& block : job.all()) {
    if (block.stage >= Stage::applied || block.stage == Stage::packing) continue;
    locks_.set_hurry(block.lbn, &packer_hurry_);
    is_urgent = is_urgent || locks_.has_waiters(block.lbn);
  }
  if (is_urgent) packer_->flush();
}

void Volume::end_block(WriteBlock& block) {
  if (block.role == HashLocks::Role::agent && block.lock != nullptr) settle(block);
  locks_.unlock(block.lbn);
  block.stage = Stage::ended;
  if (block.parked != nullptr) parked_.give_back(std::exchange(block.parked, nullptr));
}

/// Compresses the undecided blocks and starts to pack them, unless somebody waits for them.
Task<void> Volume::pack_all(WriteJob& job, TaskGroup& packing, Result<void>& failure) {
  const auto is_wanted = [this](const WriteBlock& block) {
    return block.stage == Stage::undecided && block.role != HashLocks::Role::follower &&
           !locks_.has_waiters(block.lbn);
  };
  const auto wanted = std::ranges::count_if(job.all(), is_wanted);
  const WorkPlace work = job.work_place(static_cast<std::size_t>(wanted), options_.work);
  if (work.thread() == nullptr) {
    for (WriteBlock& block : job.all()) {
      if (!is_wanted(block)) continue;
      executor_.spend(kUnitsPerBlockCompressed);
      const std::size_t size = compressor_.compress(block.data, fragment_.bytes());
      if (size > 0) packing.start(pack(job, block, fragment_.bytes().first(size), failure));
    }
    co_return;
  }
  const Buffer fragments = co_await fragment_buffers_.acquire(WriteJob::kMaxBlocks * kBlockSize);
  const auto place_of = [&](const WriteBlock& block) {
    return fragments.bytes().subspan(
        static_cast<std::size_t>(&block - job.blocks.data()) * kBlockSize, kBlockSize);
  };
  for (WriteBlock& block : job.all()) block.fragment_size = is_wanted(block) ? 1 : 0;
  co_await options_.work.enter();
  for (WriteBlock& block : job.all()) {
    if (block.fragment_size == 0) continue;
    block.fragment_size =
        static_cast<std::uint32_t>(remote_compressor_.compress(block.data, place_of(block)));
  }
  co_await options_.work.leave();
  for (WriteBlock& block : job.all()) {
    if (block.fragment_size == 0 || !is_wanted(block)) continue;
    packing.start(pack(job, block, place_of(block).first(block.fragment_size), failure));
  }
}

/// Takes a compressed block through the packer to its end, so that nobody who waits for it waits
/// for the other blocks of its job. `bytes` are used up when this waits for the first time.
Task<void> Volume::pack(WriteJob& job, WriteBlock& block, ConstBytes bytes, Result<void>& failure) {
  // Followers wait for it, or a flush that has emptied the packer, or writes for a job or for room.
  const bool is_urgent = (block.lock != nullptr && block.lock->users > 1) || !job.is_on_its_way ||
                         !job_finished_.empty() || depot_->has_seekers();
  Packer::Fragment fragment(*packer_, bytes, is_urgent);
  block.stage = Stage::packing;
  locks_.set_hurry(block.lbn, &fragment);
  if (block.lock != nullptr) block.lock->hurry = &fragment;
  auto packed = co_await fragment;
  locks_.set_hurry(block.lbn, nullptr);
  if (block.lock != nullptr) block.lock->hurry = nullptr;
  --job.promised;  // it has its block, or its bin has
  if (!packed) {
    failure = std::move(packed).error();
    co_return;
  }
  std::optional<ReadGuard> guard;
  if (*packed) {
    block.location = **packed;
  } else {
    guard.emplace(depot_->epochs());
    block.stage = Stage::alone;
    auto alone = co_await write_alone(block);
    if (!alone) {
      failure = std::move(alone).error();
      co_return;
    }
    block.location = *alone;
  }
  block.is_new = true;
  if (block.query != nullptr) index_->record(*block.query, encode_advice(block.location));
  auto applied = co_await apply_alone(job, block);
  if (!applied) {
    failure = std::move(applied);
    co_return;
  }
  end_block(block);
}

/// Stores the data of a block that was promised room in a block of their own.
Task<Result<BlockMapping>> Volume::write_alone(WriteBlock& block) {
  const Pbn pbn = depot_->allocate(1, true)->first;
  const std::array<BlockWrite, 1> write{BlockWrite{pbn, block.data}};
  auto written = co_await data_writer_->write(write);
  if (written || notifier_.is_on(Fault::write_error_ignored)) co_return mapped_to(pbn);
  depot_->release(pbn);
  co_return std::move(written).error();
}

Task<Result<void>> Volume::apply_alone(WriteJob& job, WriteBlock& block) {
  const PageNumber page = page_number(block.lbn);
  LeafPin leaf = map_->cached_leaf(page);
  if (!leaf) {
    auto loaded = co_await leaf_for_write(page);
    if (!loaded) co_return std::move(loaded).error();
    leaf = std::move(*loaded);
  }
  auto applied = try_apply(job, block, *leaf);
  if (!applied) co_return std::move(applied).error();
  if (is_waiting(*applied)) co_return co_await apply_in_leaf(job, block, *leaf);
  co_return Result<void>();
}

Task<Result<void>> Volume::place_whole(WriteJob& job) {
  std::size_t count = 0;
  std::uint32_t wanted = 0;
  for (const WriteBlock& block : job.all()) {
    if (block.stage == Stage::undecided && block.role != HashLocks::Role::follower) ++wanted;
  }
  if (wanted == 0) co_return Result<void>();
  PbnRun run;
  for (WriteBlock& block : job.all()) {
    if (block.stage != Stage::undecided || block.role == HashLocks::Role::follower) continue;
    if (run.count == 0) {
      if (job.promised > 0) {
        run = *depot_->allocate(std::min(wanted, job.promised), true);
        job.promised -= run.count;
      } else {
        auto pbn = co_await allocate_unpromised(&job);
        if (!pbn) co_return std::move(pbn).error();
        run = {*pbn, 1};
      }
    }
    block.location = mapped_to(run.first);
    block.is_new = true;
    block.stage = Stage::located;
    job.writes[count++] = {run.first, block.data};
    ++run.first;
    --run.count;
    --wanted;
  }
  auto written = co_await data_writer_->write(std::span(job.writes).first(count));
  if (!written && !notifier_.is_on(Fault::write_error_ignored)) co_return written;
  std::size_t notes = 0;
  for (const WriteBlock& block : job.all()) {
    if (block.stage == Stage::located && block.is_new && block.query != nullptr &&
        !block.location.is_compressed()) {
      job.notes[notes++] = {block.query, encode_advice(block.location)};
    }
  }
  if (notes > 0) index_->record_all(std::span(job.notes).first(notes));
  co_return Result<void>();
}

Task<Result<Pbn>> Volume::allocate_unpromised(WriteJob* job) {
  while (true) {
    if (const auto run = depot_->allocate(1, false)) co_return run->first;
    if (notifier_.is_read_only()) co_return notifier_.error();
    if (depot_->has_pending_frees()) {
      co_await depot_->wait_for_frees();
    } else if (depot_->unscrubbed() > 0) {
      co_await depot_->wait_for_scrub();  // there may be free blocks in the slabs to come
    } else if (depot_->has_promises()) {
      // Others may find that they need none: theirs are zeros, or duplicates, or get smaller. They
      // come to their end, for nothing that they may wait for is held here: not the packer, not
      // small writes that gather, not the part of an agent.
      if (job != nullptr) leave_agents(*job);
      hurry_gathered();
      packer_->flush();
      // That may have given room back already, and nobody else be left who could.
      if (depot_->free_blocks() == 0 && depot_->has_promises()) {
        co_await depot_->wait_for_promises();
      }
    } else {
      co_return Error(Errc::no_space, "the volume has no free physical block left");
    }
  }
}

// ---- the map

/// On a large volume hardly anything of what a change touches is in the processor's caches: the
/// entry of the map, the count of the block that was there, the end of its slab's journal. It
/// comes faster for all blocks together than when each is changed.
void Volume::prefetch_changes(std::span<const WriteBlock> blocks) {
  std::array<const std::byte*, WriteJob::kMaxBlocks> entries;
  std::array<Pbn, WriteJob::kMaxBlocks> replaced;
  std::size_t count = 0;
  std::size_t replaced_count = 0;
  for (const WriteBlock& block : blocks) {
    if (block.stage != Stage::located) continue;
    const std::byte* entry = map_->find_entry(block.lbn);
    if (entry == nullptr) continue;
    prefetch(entry);
    entries[count++] = entry;
  }
  for (const std::byte* entry : std::span(entries).first(count)) {
    const BlockMapping old = decode_block_mapping(entry);
    if (old.pbn == kZeroPbn || !depot_->layout().is_valid(old)) continue;
    depot_->prefetch_slab(old.pbn);
    replaced[replaced_count++] = old.pbn;
  }
  for (const Pbn pbn : std::span(replaced).first(replaced_count)) depot_->prefetch_change(pbn);
}

Task<Result<void>> Volume::apply(WriteJob& job) {
  const auto blocks = job.all();
  prefetch_changes(blocks);
  for (std::size_t i = 0; i < blocks.size();) {
    if (blocks[i].stage != Stage::located) {
      ++i;
      continue;
    }
    const PageNumber page = page_number(blocks[i].lbn);
    LeafPin leaf = map_->cached_leaf(page);
    if (!leaf) {
      co_await fetch_leaves(job, blocks.subspan(i));
      auto loaded = co_await leaf_for_write(page);
      if (!loaded) co_return std::move(loaded).error();
      leaf = std::move(*loaded);
    }
    for (; i < blocks.size() && page_number(blocks[i].lbn) == page; ++i) {
      if (blocks[i].stage != Stage::located) continue;
      auto outcome = try_apply(job, blocks[i], *leaf);
      if (!outcome) co_return std::move(outcome).error();
      if (!is_waiting(*outcome)) continue;
      auto applied = co_await apply_in_leaf(job, blocks[i], *leaf);
      if (!applied) co_return applied;
    }
  }
  let_go_of_leaves(job);
  co_return Result<void>();
}

/// Has the leaves that these blocks of the job change and that are not in memory read side by side.
Task<void> Volume::fetch_leaves(WriteJob& job, std::span<const WriteBlock> blocks) {
  TaskGroup reads(executor_);
  for (const WriteBlock& block : blocks) {
    const PageNumber page = page_number(block.lbn);
    if (block.stage == Stage::located && !map_->has_leaf(page)) reads.start(fetch(job, page));
  }
  co_await reads.wait();
}

/// It is held for the job so that it is still there when its turn comes, unless too many are: jobs
/// that hold leaves wait for frames of the cache for others.
Task<void> Volume::fetch(WriteJob& job, PageNumber page) {
  auto leaf = co_await map_->leaf(page);  // a failure is seen by who needs it
  if (!leaf || !*leaf || job.fetched_count == job.fetched.size()) co_return;
  if (leaves_held_ >= map_->cache_pages() / 4) co_return;
  ++leaves_held_;
  job.fetched[job.fetched_count++] = std::move(*leaf);
}

void Volume::let_go_of_leaves(WriteJob& job) {
  leaves_held_ -= job.fetched_count;
  while (job.fetched_count > 0) job.fetched[--job.fetched_count] = LeafPin();
}

Task<Result<LeafPin>> Volume::leaf_for_write(PageNumber page) {
  auto leaf = co_await map_->leaf(page);
  if (leaf) check(static_cast<bool>(*leaf), "a leaf is missing that was made for this write");
  co_return leaf;
}

Task<Result<void>> Volume::apply_in_leaf(WriteJob& job, WriteBlock& block, MapPage& leaf) {
  while (true) {
    auto outcome = try_apply(job, block, leaf);
    if (!outcome) co_return std::move(outcome).error();
    if (!is_waiting(*outcome)) co_return Result<void>();
    if (*outcome == RemapOutcome::must_wait_for_journal) {
      co_await journal_->wait_for_room();
    } else {
      co_await depot_->wait_for_room();
    }
  }
}

Result<Volume::RemapOutcome> Volume::try_apply(WriteJob& job, WriteBlock& block, MapPage& leaf) {
  if (job.refusal != nullptr && job.refusal->is_given()) return Refusal::error();
  const bool needs_share = block.location.pbn != kZeroPbn && !block.is_new && !block.claimed;
  auto changed = try_remap(leaf, block.lbn, block.location, needs_share);
  if (!changed) return std::move(changed).error();
  if (changed->outcome == RemapOutcome::cannot_share) {
    block.stage = Stage::undecided;
  } else if (changed->outcome == RemapOutcome::done) {
    block.stage = Stage::applied;
    job.last_point = std::max(job.last_point, changed->point);
  }
  return changed->outcome;
}

Result<Volume::Remapped> Volume::try_remap(MapPage& leaf, Lbn lbn, BlockMapping mapping,
                                           bool needs_share) {
  if (notifier_.is_read_only()) return notifier_.error();
  const unsigned slot = leaf_slot(lbn);
  BlockMapping old = leaf.entry(slot);
  if (!depot_->layout().is_valid(old)) {
    log_({LogLevel::warning,
          fmt::format("the map entry of logical block {} was invalid and is taken as unmapped",
                      lbn.value())});
    old = kUnmapped;
  }
  if (old == mapping) return Remapped{RemapOutcome::done, journal_->last_point()};
  if (needs_share && !depot_->may_share(mapping)) {
    return Remapped{RemapOutcome::cannot_share, {}};
  }
  if (!journal_->has_room()) return Remapped{RemapOutcome::must_wait_for_journal, {}};
  if ((mapping.pbn != kZeroPbn && !depot_->has_room(mapping.pbn)) ||
      (old.pbn != kZeroPbn && !depot_->has_room(old.pbn))) {
    return Remapped{RemapOutcome::must_wait_for_depot, {}};
  }
  const JournalPoint point = journal_->add(
      {JournalOperation::data_remapping, leaf.pbn, static_cast<std::uint16_t>(slot), mapping, old});
  Result<void> counted;
  if (mapping.pbn != kZeroPbn) {
    counted = depot_->change(mapping.pbn, ReferenceOperation::data_increment, point);
  }
  if (counted && old.pbn != kZeroPbn) {
    counted = depot_->change(old.pbn, ReferenceOperation::data_decrement, point);
  }
  if (!counted) {
    notifier_.enter(counted.error());
    return std::move(counted).error();
  }
  map_->set(leaf, slot, mapping, point);
  savings_.changed(lbn, old, mapping);
  return Remapped{RemapOutcome::done, point};
}

}  // namespace uvdo
