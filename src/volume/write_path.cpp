// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/write_path.h"

#include <cstring>

namespace uvdo {

WritePath::WritePath(Executor& executor, const VolumeLife& life, ReadOnlyNotifier& notifier,
                     Entrance& entrance, WriteAdmission& admission, Ledger& ledger,
                     InFlight& in_flight, WriteJobs& jobs, Placement& placement, ReadPath& reader,
                     Packer& packer, VolumeBuffers& buffers, const VolumeOptions& options,
                     VolumeCounters& counters)
    : life_(life),
      notifier_(notifier),
      entrance_(entrance),
      admission_(admission),
      ledger_(ledger),
      in_flight_(in_flight),
      jobs_(jobs),
      placement_(placement),
      reader_(reader),
      packer_(packer),
      buffers_(buffers),
      options_(options),
      counters_(counters),
      tasks_(executor),
      gatherer_(executor, life, notifier, ledger.depot(), in_flight, jobs, options.gather_delay,
                tasks_, [this](WriteJob& job) { store_behind_answer(job); }) {}

Task<Result<void>> WritePath::write(std::uint64_t offset, Buffer data, Durability durability) {
  // Held back at the door where there is no room beneath; a FUA write's answer waits for the
  // device, so it takes the long way.
  if (!admission_.is_open()) {
    auto admitted = co_await admission_.admit_write();
    if (!admitted) co_return admitted;
  } else if (durability == Durability::cached && write_at_once(offset, data)) {
    co_return Result<void>();
  }
  PatientRequest request(entrance_.patient());
  co_return co_await request.answer(write_admitted(request, offset, std::move(data), durability));
}

/// The usual write needs nothing that it would have to wait for, and so no coroutine that may have
/// to outlive its answer: its block is whole, its page is there, and it joins others. False:
/// nothing has been done, and `data` is still there.
bool WritePath::write_at_once(std::uint64_t offset, Buffer& data) {
  if (data.size() != kBlockSize || offset % kBlockSize != 0) return false;
  if (!entrance_.gate().is_open() || !entrance_.check_range(offset, kBlockSize)) return false;
  const Lbn lbn{offset / kBlockSize};
  LbnLocks& locks = in_flight_.locks();
  if (!jobs_.has_spare() || !ledger_.map().has_leaf(page_number(lbn)) || !locks.try_lock(lbn)) {
    return false;
  }
  if (!gatherer_.accept(lbn, data)) {
    locks.unlock(lbn);
    return false;
  }
  ++counters_.requests.writes;
  return true;
}

Task<Result<void>> WritePath::write_admitted(PatientRequest& request, std::uint64_t offset,
                                             Buffer data, Durability durability) {
  const Refusal refusal(request);
  const RequestPass pass = co_await entrance_.gate().enter();
  if (!pass) co_return Entrance::refused();
  auto done = entrance_.check_writable();
  if (done) done = entrance_.check_range(offset, data.size());
  if (!done || data.size() == 0) co_return done;
  if (offset % kBlockSize == 0 && data.size() % kBlockSize == 0) {
    co_return co_await write_blocks(Lbn{offset / kBlockSize}, std::move(data), durability, refusal);
  }
  co_return co_await write_parts(offset, std::move(data), durability, refusal);
}

Task<Result<void>> WritePath::write_parts(std::uint64_t offset, Buffer data, Durability durability,
                                          const Refusal& refusal) {
  // A head and a tail that are parts of blocks, and whole blocks between them; each may be missing.
  const std::size_t in_block = offset % kBlockSize;
  const std::size_t head =
      in_block == 0 ? 0 : std::min<std::size_t>(kBlockSize - in_block, data.size());
  const std::size_t middle = (data.size() - head) / kBlockSize * kBlockSize;
  const std::size_t tail = data.size() - head - middle;
  Result<void> done;
  if (head > 0) done = co_await write_piece(offset, data.bytes().first(head), durability, refusal);
  if (done && tail > 0) {
    done =
        co_await write_piece(offset + head + middle, data.bytes().last(tail), durability, refusal);
  }
  if (!done || middle == 0) co_return done;
  // The buffer goes on with the whole blocks alone, from its aligned beginning.
  if (head > 0) std::memmove(data.data(), data.data() + head, middle);
  data.shrink(middle);
  co_return co_await write_blocks(Lbn{(offset + head) / kBlockSize}, std::move(data), durability,
                                  refusal);
}

Task<Result<void>> WritePath::write_piece(std::uint64_t offset, ConstBytes piece,
                                          Durability durability, const Refusal& refusal) {
  // The buffer before the lock: who holds a lock waits for no buffer of this pool.
  Buffer block = co_await buffers_.merge.acquire(kBlockSize);
  co_await in_flight_.locks().lock(Lbn{offset / kBlockSize});
  co_return co_await merge_locked(std::move(block), offset, piece, durability, refusal);
}

Task<Result<void>> WritePath::merge_locked(Buffer block, std::uint64_t offset, ConstBytes piece,
                                           Durability durability, const Refusal& refusal) {
  const Lbn lbn{offset / kBlockSize};
  const MutableBytes bytes = block.bytes();
  ++counters_.requests.partial_writes;
  if (!jobs_.has_spare()) co_await wait_for_job();
  if (refusal.is_given()) {
    in_flight_.locks().unlock(lbn);
    jobs_.pass_on();
    co_return Refusal::error();
  }
  WriteJob& job = jobs_.take();
  job.add(lbn, std::move(block));
  job.durability = durability;
  // Nobody else writes the block now, so what is read here stays right until this is applied.
  auto done = co_await reader_.read_blocks(lbn, bytes);
  if (!done) {
    placement_.finish(job);
    co_return done;
  }
  std::memcpy(bytes.data() + offset % kBlockSize, piece.data(), piece.size());
  co_return co_await start_job(job, refusal);
}

Task<Result<void>> WritePath::write_blocks(Lbn first, Buffer data, Durability durability,
                                           const Refusal& refusal) {
  const std::size_t count = data.size() / kBlockSize;
  LbnLocks& locks = in_flight_.locks();
  counters_.requests.writes += count;
  // Who has a job waits for no lock: so jobs end, and those who have locks get one.
  for (std::size_t i = 0; i < count; ++i) co_await locks.lock(first + i);
  // A small write that is answered early joins others. An error here is no answer yet: it is met
  // again, and told, in start_job().
  bool may_gather = durability == Durability::cached && count <= Gatherer::kMostBlocks;
  if (may_gather) {
    auto mapped = co_await ensure_leaves(first, count);
    may_gather = mapped.ok();
  }
  if (!jobs_.has_spare()) co_await wait_for_job();
  if (refusal.is_given()) {
    // Nothing but locks is held, and a job that came free for this may serve another.
    for (std::size_t i = 0; i < count; ++i) locks.unlock(first + i);
    jobs_.pass_on();
    co_return Refusal::error();
  }
  if (may_gather && gatherer_.accept(first, data)) co_return Result<void>();
  WriteJob& job = jobs_.take();
  job.add(first, std::move(data));
  job.durability = durability;
  co_return co_await start_job(job, refusal);
}

Task<Result<void>> WritePath::ensure_leaves(Lbn first, std::size_t count) {
  BlockMap& map = ledger_.map();
  // A job has fewer blocks than a leaf has entries.
  const PageNumber page = page_number(first);
  const PageNumber last = page_number(first + (count - 1));
  Result<void> done;
  if (!map.has_leaf(page)) done = co_await map.ensure_leaf(page);
  if (done && last != page && !map.has_leaf(last)) done = co_await map.ensure_leaf(last);
  co_return done;
}

Task<void> WritePath::wait_for_job() {
  // Jobs may be waiting for company.
  return jobs_.wait_for_spare([this] { hurry(); });
}

Task<Result<void>> WritePath::start_job(WriteJob& job, const Refusal& refusal) {
  SlabDepot& depot = ledger_.depot();
  // Before room is promised: blocks that this write frees must find memory on their way to being
  // free.
  if (depot.has_most_frees()) co_await depot.wait_for_fewer_frees();
  // Pages that are missing are made now: once answered, the write must not fail for want of one.
  auto done = entrance_.check_writable();
  if (done) done = co_await ensure_leaves(job.blocks[0].lbn, job.count);
  if (done && refusal.is_given()) done = Refusal::error();
  if (!done) {
    if (done.error().code() == Errc::no_space) ++counters_.errors.no_space_error_count;
    placement_.finish(job);
    co_return done;
  }
  job.has_promise = depot.reserve(job.count);
  if (!job.has_promise) co_await seek_promise(job);
  // All or nothing: a job with half a promise could still fail behind its answer.
  if (job.has_promise) job.promised = static_cast<std::uint32_t>(job.count);
  if (refusal.is_given()) {
    placement_.finish(job);
    co_return Refusal::error();
  }
  if (job.has_promise && job.durability == Durability::cached) {
    // The moment of the answer: from here on readers are given these data, and a flush waits for
    // the job.
    for (WriteBlock& block : job.all()) in_flight_.publish(block.lbn, block.data);
    store_behind_answer(job);
    co_return done;
  }
  co_return co_await store_before_answer(job, refusal);
}

Task<void> WritePath::seek_promise(WriteJob& job) {
  SlabDepot& depot = ledger_.depot();
  packer_.flush();  // what waits there was promised more than it takes
  job.has_promise = depot.reserve(job.count);
  if (job.has_promise || !depot.has_pending_frees()) co_return;
  co_await depot.wait_for_frees();
  job.has_promise = depot.reserve(job.count);
}

/// With FUA; and without a promise, when the answer waits for whether the data find a place after
/// all.
Task<Result<void>> WritePath::store_before_answer(WriteJob& job, const Refusal& refusal) {
  if (job.has_promise) ++counters_.requests.fua_writes;
  job.refusal = &refusal;
  auto done = co_await placement_.store(job);
  if (!done && done.error().code() == Errc::no_space) ++counters_.errors.no_space_error_count;
  const bool must_commit = done && job.durability == Durability::fua;
  // The job goes back before the commit is waited for: its locks need not last as long.
  const JournalPoint point = job.last_point;
  placement_.finish(job);
  if (!must_commit || options_.faults.is_on(Fault::fua_ignored)) co_return done;
  co_return co_await ledger_.journal().commit(point);
}

void WritePath::store_behind_answer(WriteJob& job) { tasks_.start(store_behind(job)); }

Task<void> WritePath::store_behind(WriteJob& job) {
  auto done = co_await placement_.store(job);
  if (!done) {
    for (const WriteBlock& block : job.all()) {
      // Readers go on to see what clients were told is written, before finish() takes the published
      // data away.
      if (block.stage < Stage::applied) in_flight_.keep_lost(block.lbn, block.data);
    }
    // Nobody can be told of it any more (behaviour.md, 5.1).
    notifier_.enter(done.error().within("a write that had been acknowledged failed"));
  }
  placement_.finish(job);
}

Task<void> WritePath::finish_writes() {
  // Closes the generations: a stream of later writes does not keep this flush.
  const WriteJobs::Accepted accepted = jobs_.begin_flush();
  // No write that comes later joins those that this waits for.
  gatherer_.start();
  gatherer_.hurry();
  // The packer is emptied once, when all that goes there has come: so its bins are well filled.
  co_await jobs_.wait_for_ways(accepted);
  packer_.flush();
  co_await jobs_.wait_for_end(accepted);
}

Task<void> WritePath::drain() {
  co_await finish_writes();
  co_await tasks_.wait();
  co_await packer_.drain();
}

Task<Result<void>> WritePath::flush() {
  if (admission_.gate().state() == RoomGate::State::refusing) co_return Refusal::error();
  PatientRequest request(entrance_.patient());
  co_return co_await request.answer(flush_admitted());
}

Task<Result<void>> WritePath::flush_admitted() {
  const RequestPass pass = co_await entrance_.gate().enter();
  if (!pass) co_return Entrance::refused();
  ++counters_.requests.flushes;
  if (life_.is_for_reading()) co_return Result<void>();  // nothing was ever written
  if (notifier_.is_read_only()) co_return notifier_.error();
  if (options_.faults.is_on(Fault::flush_ignored)) co_return Result<void>();
  // First every accepted write is in the journal, in memory, then the journal is committed. The
  // commit's flush of the device makes the data stable as well (behaviour.md, 5.6).
  if (!options_.faults.is_on(Fault::flush_forgets_packer)) co_await finish_writes();
  // A write that was answered and then failed is not among the journal's entries.
  if (notifier_.is_read_only()) co_return notifier_.error();
  co_return co_await ledger_.journal().commit_all();
}

}  // namespace uvdo
