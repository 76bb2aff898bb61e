// SPDX-License-Identifier: GPL-2.0-or-later
// Accepting writes: whole blocks go on as they are, parts of blocks are merged with what is there.
// A write is answered when its blocks are locked, its tree pages exist and room is promised; what
// happens to its data then is in write_job.cpp (behaviour.md, 5.1 and 5.6).
#include <cstring>

#include <fmt/core.h>

#include "volume/write_job.h"

namespace uvdo {
namespace {

/// Writes of up to so many blocks travel with others.
constexpr std::size_t kMostGathered = 8;
/// So many blocks don't wait for company.
constexpr std::size_t kCompany = 8;
/// Time for a block, from which on the first thread does all by itself without being in a hurry.
constexpr Duration kTrickle = std::chrono::microseconds(10);

}  // namespace

Result<void> Volume::check_range(std::uint64_t offset, std::uint64_t length) const {
  if (offset <= size() && length <= size() - offset) return {};
  return Error(Errc::out_of_range,
               fmt::format("{} bytes at byte {} reach beyond the volume's end ({})", length, offset,
                           size()));
}

Result<void> Volume::check_writable() {
  if (stopping_) return refused();
  if (!notifier_.is_read_only()) return {};
  ++errors_.read_only;
  return notifier_.error();
}

Error Volume::refused() { return {Errc::cancelled, "the volume is being stopped"}; }

Task<Result<void>> Volume::write(std::uint64_t offset, Buffer data, Durability durability) {
  if (!room_.is_open()) {
    auto admitted = co_await admit_write();
    if (!admitted) co_return admitted;
  } else if (durability == Durability::cached && write_at_once(offset, data)) {
    co_return Result<void>();
  }
  PatientRequest request(patient_requests_);
  co_return co_await request.answer(write_admitted(request, offset, std::move(data), durability));
}

/// The usual write needs nothing that it would have to wait for, and so no coroutine that may have
/// to outlive its answer: its block is whole, its page is there, and it joins others.
bool Volume::write_at_once(std::uint64_t offset, Buffer& data) {
  if (data.size() != kBlockSize || offset % kBlockSize != 0) return false;
  if (!requests_gate_.is_open() || !check_range(offset, kBlockSize)) return false;
  const Lbn lbn{offset / kBlockSize};
  if (!has_job() || !map_->has_leaf(page_number(lbn)) || !locks_.try_lock(lbn)) return false;
  if (!gather(lbn, data)) {
    locks_.unlock(lbn);
    return false;
  }
  ++requests_.writes;
  return true;
}

Task<Result<void>> Volume::write_admitted(PatientRequest& request, std::uint64_t offset,
                                          Buffer data, Durability durability) {
  const Refusal refusal(request);
  if (!requests_gate_.is_open() && !co_await requests_gate_.wait()) co_return refused();
  const RequestPass pass(requests_gate_);
  auto done = check_writable();
  if (done) done = check_range(offset, data.size());
  if (!done || data.size() == 0) co_return done;
  const std::size_t in_block = offset % kBlockSize;
  if (in_block == 0 && data.size() % kBlockSize == 0) {
    co_return co_await write_blocks(Lbn{offset / kBlockSize}, std::move(data), durability, refusal);
  }
  const std::size_t head =
      in_block == 0 ? 0 : std::min<std::size_t>(kBlockSize - in_block, data.size());
  const std::size_t middle = (data.size() - head) / kBlockSize * kBlockSize;
  const std::size_t tail = data.size() - head - middle;
  if (head > 0) done = co_await write_piece(offset, data.bytes().first(head), durability, refusal);
  if (done && tail > 0) {
    done =
        co_await write_piece(offset + head + middle, data.bytes().last(tail), durability, refusal);
  }
  if (!done || middle == 0) co_return done;
  if (head > 0) std::memmove(data.data(), data.data() + head, middle);
  data.shrink(middle);
  co_return co_await write_blocks(Lbn{(offset + head) / kBlockSize}, std::move(data), durability,
                                  refusal);
}

Task<Result<void>> Volume::write_piece(std::uint64_t offset, ConstBytes piece,
                                       Durability durability, const Refusal& refusal) {
  Buffer block = co_await merge_buffers_.acquire(kBlockSize);
  co_await locks_.lock(Lbn{offset / kBlockSize});
  co_return co_await merge_locked(std::move(block), offset, piece, durability, refusal);
}

Task<Result<void>> Volume::merge_locked(Buffer block, std::uint64_t offset, ConstBytes piece,
                                        Durability durability, const Refusal& refusal) {
  const Lbn lbn{offset / kBlockSize};
  const MutableBytes bytes = block.bytes();
  ++requests_.partial_writes;
  if (!has_job()) co_await wait_for_job();
  if (refusal.is_given()) {
    locks_.unlock(lbn);
    job_finished_.wake_one();  // the job that was to be taken is for another
    co_return Refusal::error();
  }
  WriteJob& job = take_job();
  job.add(lbn, std::move(block));
  job.durability = durability;
  enter_generation(job);
  // Nobody else writes the block now, so what is read here stays right until this is applied.
  auto done = co_await read_blocks(lbn, bytes);
  if (!done) {
    finish_job(job);
    co_return done;
  }
  std::memcpy(bytes.data() + offset % kBlockSize, piece.data(), piece.size());
  co_return co_await start_job(job, refusal);
}

Task<Result<void>> Volume::write_blocks(Lbn first, Buffer data, Durability durability,
                                        const Refusal& refusal) {
  const std::size_t count = data.size() / kBlockSize;
  requests_.writes += count;
  // Who has a job waits for no lock: so jobs end, and those who have locks get one.
  for (std::size_t i = 0; i < count; ++i) co_await locks_.lock(first + i);
  bool may_gather = durability == Durability::cached && count <= kMostGathered;
  if (may_gather) {
    auto mapped = co_await ensure_leaves(first, count);
    may_gather = mapped.ok();
  }
  if (!has_job()) co_await wait_for_job();
  if (refusal.is_given()) {
    for (std::size_t i = 0; i < count; ++i) locks_.unlock(first + i);
    job_finished_.wake_one();  // the job that was to be taken is for another
    co_return Refusal::error();
  }
  if (may_gather && gather(first, data)) co_return Result<void>();
  WriteJob& job = take_job();
  job.add(first, std::move(data));
  job.durability = durability;
  enter_generation(job);
  co_return co_await start_job(job, refusal);
}

bool Volume::gather(Lbn first, Buffer& data) {
  const std::size_t count = data.size() / kBlockSize;
  if (stopping_ || notifier_.is_read_only() || depot_->has_most_frees()) return false;
  if (!depot_->reserve(count)) return false;
  if (gathered_ != nullptr && gathered_->count + count > WriteJob::kMaxBlocks) start_gathered();
  if (gathered_ == nullptr) {
    gathered_ = &take_job();
    enter_generation(*gathered_);
    gathered_since_ = executor_.now();
    gathered_->durability = Durability::cached;
    gathered_->has_promise = true;
    if (!std::exchange(gathering_, true)) jobs_.start(start_gathered_at_turn_end());
  }
  gathered_->promised += static_cast<std::uint32_t>(count);
  const std::byte* bytes = data.data();
  for (std::size_t i = 0; i < count; ++i) locks_.publish(first + i, bytes + i * kBlockSize);
  gathered_->add(first, std::move(data));
  if (options_.gather_delay > Duration::zero()) {
    // From now on, not only when it sleeps: an alarm that rang before ends the sleep at once.
    gather_sleeps_ = true;
    for (const WriteBlock& block : gathered_->all().last(count)) allow_hurry(block);
    if (gathered_->count >= kCompany) hurry_gathered();
  }
  if (gathered_->count == WriteJob::kMaxBlocks) start_gathered();
  return true;
}

void Volume::allow_hurry(const WriteBlock& block) {
  locks_.set_hurry(block.lbn, &gathered_hurry_);
  if (locks_.has_waiters(block.lbn)) hurry_gathered();
}

void Volume::start_gathered() {
  WriteJob& job = *std::exchange(gathered_, nullptr);
  job.trickles = executor_.now() - gathered_since_ > kTrickle * job.count;
  jobs_.start(store_behind(job));
}

Task<void> Volume::start_gathered_at_turn_end() {
  co_await executor_.turn_end();
  if (gathered_ != nullptr && gathered_->count < kCompany &&
      options_.gather_delay > Duration::zero() && !stopping_) {
    co_await gather_alarm_.sleep(options_.gather_delay);
  }
  gather_sleeps_ = false;
  gathering_ = false;
  if (gathered_ != nullptr) start_gathered();
}

Task<Result<void>> Volume::ensure_leaves(Lbn first, std::size_t count) {
  const PageNumber page = page_number(first);
  const PageNumber last = page_number(first + (count - 1));
  Result<void> done;
  if (!map_->has_leaf(page)) done = co_await map_->ensure_leaf(page);
  if (done && last != page && !map_->has_leaf(last)) done = co_await map_->ensure_leaf(last);
  co_return done;
}

Task<Result<void>> Volume::start_job(WriteJob& job, const Refusal& refusal) {
  if (depot_->has_most_frees()) co_await depot_->wait_for_fewer_frees();
  // Pages that are missing are made now: once answered, the write must not fail for want of one.
  auto done = check_writable();
  if (done) done = co_await ensure_leaves(job.blocks[0].lbn, job.count);
  if (done && refusal.is_given()) done = Refusal::error();
  if (!done) {
    if (done.error().code() == Errc::no_space) ++errors_.no_space;
    finish_job(job);
    co_return done;
  }
  const auto count = static_cast<std::uint32_t>(job.count);
  job.has_promise = depot_->reserve(count);
  if (!job.has_promise) {
    packer_->flush();  // what waits there was promised more than it takes
    job.has_promise = depot_->reserve(count);
  }
  if (!job.has_promise && depot_->has_pending_frees()) {
    co_await depot_->wait_for_frees();
    job.has_promise = depot_->reserve(count);
  }
  if (job.has_promise) job.promised = count;
  if (refusal.is_given()) {
    finish_job(job);
    co_return Refusal::error();
  }
  if (job.has_promise) {
    if (job.durability == Durability::cached) {
      for (WriteBlock& block : job.all()) locks_.publish(block.lbn, block.data);
      jobs_.start(store_behind(job));
      co_return done;
    }
    ++requests_.fua_writes;
  }
  // Without a promise the answer waits for whether the data find a place after all.
  job.refusal = &refusal;
  done = co_await store(job);
  if (!done && done.error().code() == Errc::no_space) ++errors_.no_space;
  if (done && job.durability == Durability::fua) {
    const JournalPoint point = job.last_point;
    finish_job(job);
    if (notifier_.is_on(Fault::fua_ignored)) co_return done;
    co_return co_await journal_->commit(point);
  }
  finish_job(job);
  co_return done;
}

Task<void> Volume::store_behind(WriteJob& job) {
  auto done = co_await store(job);
  if (!done) {
    keep_lost(job);
    notifier_.enter(done.error().within("a write that had been acknowledged failed"));
  }
  finish_job(job);
}

void Volume::keep_lost(WriteJob& job) {
  for (const WriteBlock& block : job.all()) {
    if (block.stage >= Stage::applied) continue;
    AlignedMemory copy(kBlockSize);
    std::memcpy(copy.data(), block.data, kBlockSize);
    lost_.insert_or_assign(block.lbn.value(), std::move(copy));
  }
}

bool Volume::has_job() const { return write_jobs_->has_spare(); }

Task<void> Volume::wait_for_job() {
  ++job_shortages_;
  while (!has_job()) {
    hurry_gathered();
    packer_->flush();  // jobs may be waiting for company there
    co_await job_finished_.wait();
  }
}

Volume::WriteJob& Volume::take_job() {
  check(has_job(), "more writes are under way than there is memory for");
  return write_jobs_->take();
}

void Volume::enter_generation(WriteJob& job) {
  job.generation = writes_.enter();
  job.way_to_packer = ways_to_packer_.enter();
  job.is_on_its_way = true;
}

void Volume::leave_way_to_packer(WriteJob& job) {
  if (!std::exchange(job.is_on_its_way, false)) return;
  ways_to_packer_.leave(job.way_to_packer);
}

void Volume::finish_job(WriteJob& job) {
  leave_way_to_packer(job);
  let_go_of_leaves(job);
  if (job.promised > 0) depot_->unreserve(job.promised);
  job.promised = 0;
  job.has_promise = false;
  job.refusal = nullptr;
  job.trickles = false;
  job.last_point = {};
  for (WriteBlock& block : job.all()) {
    if (block.stage != Stage::ended) end_block(block);
  }
  writes_.leave(job.generation);
  job.release_buffers();
  job.count = 0;
  write_jobs_->give(job);
  job_finished_.wake_one();
}

Task<void> Volume::finish_writes() {
  const auto generation = writes_.begin_flush();
  const auto ways = ways_to_packer_.begin_flush();
  // No write that comes later joins those that this waits for.
  if (gathered_ != nullptr) {
    start_gathered();
    hurry_gathered();
  }
  // The packer is emptied once, when all that goes there has come: so its bins are well filled.
  co_await ways_to_packer_.wait(ways);
  packer_->flush();
  co_await writes_.wait(generation);
}

Task<Result<void>> Volume::flush() {
  if (room_.state() == RoomGate::State::refusing) co_return Refusal::error();
  PatientRequest request(patient_requests_);
  co_return co_await request.answer(flush_admitted());
}

Task<Result<void>> Volume::flush_admitted() {
  if (!requests_gate_.is_open() && !co_await requests_gate_.wait()) co_return refused();
  const RequestPass pass(requests_gate_);
  ++requests_.flushes;
  if (opened_read_only_) co_return Result<void>();  // nothing was ever written
  if (notifier_.is_read_only()) co_return notifier_.error();
  if (notifier_.is_on(Fault::flush_ignored)) co_return Result<void>();
  if (!notifier_.is_on(Fault::flush_forgets_packer)) co_await finish_writes();
  // A write that was answered and then failed is not among the journal's entries.
  if (notifier_.is_read_only()) co_return notifier_.error();
  co_return co_await journal_->commit_all();
}

}  // namespace uvdo
