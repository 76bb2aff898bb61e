// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/packing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "format/advice.h"

namespace uvdo {
namespace {

// Work to compress a block.
constexpr std::uint64_t kUnitsPerBlockCompressed = 600;

}  // namespace

Packing::Packing(Executor& executor, Ledger& ledger, InFlight& in_flight, WriteJobs& jobs,
                 Packer& packer, DataWriter& writer, Deduplication& deduplication,
                 MapUpdate& update, const IndexHolder& index, VolumeBuffers& buffers,
                 const VolumeOptions& options)
    : executor_(executor),
      depot_(ledger.depot()),
      in_flight_(in_flight),
      locks_(in_flight.locks()),
      jobs_(jobs),
      packer_(packer),
      writer_(writer),
      deduplication_(deduplication),
      update_(update),
      index_(index),
      buffers_(buffers),
      options_(options),
      compressors_{{}, AlignedMemory(kBlockSize), {}} {}

/// A block for which somebody waits takes the short way, without the packer.
bool Packing::is_wanted(const WriteBlock& block) const {
  return block.stage == Stage::undecided && !block.is_follower() && !locks_.has_waiters(block.lbn);
}

Task<void> Packing::start(WriteJob& job, TaskGroup& packing, Result<void>& failure) {
  const auto wanted =
      std::ranges::count_if(job.all(), [this](const WriteBlock& b) { return is_wanted(b); });
  const WorkPlace work = job.work_place(static_cast<std::size_t>(wanted), options_.work);
  if (work.thread() != nullptr) {
    co_await start_elsewhere(job, work, packing, failure);
    co_return;
  }
  for (WriteBlock& block : job.all()) {
    if (!is_wanted(block)) continue;
    executor_.spend(kUnitsPerBlockCompressed);
    // One buffer for all: pack() has the bytes copied before it waits.
    const MutableBytes fragment = compressors_.fragment.bytes();
    const std::size_t size = compressors_.here.compress(block.data, fragment);
    if (size > 0) packing.start(pack(job, block, fragment.first(size), failure));
  }
}

Task<void> Packing::start_elsewhere(WriteJob& job, const WorkPlace& work, TaskGroup& packing,
                                    Result<void>& failure) {
  const Buffer fragments = co_await buffers_.fragments.acquire(WriteJob::kMaxBlocks * kBlockSize);
  const auto place_of = [&](const WriteBlock& block) {
    return fragments.bytes().subspan(
        static_cast<std::size_t>(&block - job.blocks.data()) * kBlockSize, kBlockSize);
  };
  // Which blocks these are is decided here: locks and stages belong to this thread.
  for (WriteBlock& block : job.all()) block.fragment_size = is_wanted(block) ? 1 : 0;
  co_await work.enter();
  for (WriteBlock& block : job.all()) {
    if (block.fragment_size == 0) continue;
    block.fragment_size =
        static_cast<std::uint32_t>(compressors_.elsewhere.compress(block.data, place_of(block)));
  }
  co_await work.leave();
  for (WriteBlock& block : job.all()) {
    // Somebody may have come to wait for it meanwhile.
    if (block.fragment_size == 0 || !is_wanted(block)) continue;
    packing.start(pack(job, block, place_of(block).first(block.fragment_size), failure));
  }
}

/// Takes a compressed block through the packer to its end, so that nobody who waits for it waits
/// for the other blocks of its job. `bytes` are used up when this waits for the first time.
Task<void> Packing::pack(WriteJob& job, WriteBlock& block, ConstBytes bytes,
                         Result<void>& failure) {
  auto done = co_await pack_and_apply(job, block, bytes);
  if (!done) failure = std::move(done);
}

Task<Result<void>> Packing::pack_and_apply(WriteJob& job, WriteBlock& block, ConstBytes bytes) {
  // Followers wait for it, or a flush that has emptied the packer, or writes for a job or for room.
  const bool is_urgent = (block.lock != nullptr && block.lock->users > 1) || !job.is_on_its_way ||
                         jobs_.has_waiters() || depot_.has_seekers();
  Packer::Fragment fragment(packer_, bytes, is_urgent);
  // Whoever comes to wait for the block or its name from here on hurries the fragment.
  block.enter(Stage::packing);
  locks_.set_hurry(block.lbn, &fragment);
  if (block.lock != nullptr) block.lock->hurry = &fragment;
  // The packer copies the bytes; then this waits until the bin is written, or the fragment leaves
  // alone.
  auto packed = co_await fragment;
  locks_.set_hurry(block.lbn, nullptr);
  if (block.lock != nullptr) block.lock->hurry = nullptr;
  --job.promised;  // it has its block, or its bin has
  if (!packed) co_return std::move(packed).error();
  std::optional<ReadGuard> guard;
  if (*packed) {
    block.location = **packed;
  } else {
    guard.emplace(depot_.epochs());
    block.enter(Stage::alone);
    auto alone = co_await write_alone(block);
    if (!alone) co_return std::move(alone).error();
    block.location = *alone;
  }
  block.is_new = true;
  // Told before the map refers to the block, which does no harm: advice is only a hint.
  if (block.query != nullptr) index_.get()->record(*block.query, encode_advice(block.location));
  auto applied = co_await update_.apply_alone(job, block);
  // Inside the read epochs that it has been in, so that followers are told of a block that is
  // there.
  if (applied) end(block);
  co_return applied;
}

/// Stores the data of a block that was promised room in a block of their own.
Task<Result<BlockMapping>> Packing::write_alone(const WriteBlock& block) {
  const Pbn pbn = depot_.allocate(1, true)->first;
  const std::array<BlockWrite, 1> write{BlockWrite{pbn, block.data}};
  auto written = co_await writer_.write(write);
  if (written || options_.faults.is_on(Fault::write_error_ignored)) co_return mapped_to(pbn);
  depot_.release(pbn);
  co_return std::move(written).error();
}

void Packing::park(WriteJob& job) {
  std::size_t in_packer = 0;
  std::size_t elsewhere = 0;
  for (const WriteBlock& block : job.all()) {
    if (block.stage == Stage::packing) {
      ++in_packer;
    } else if (block.stage < Stage::applied) {
      ++elsewhere;
    }
  }
  // Without any in the packer the job ends soon, and its buffers with it.
  if (in_packer == 0) return;
  // Whoever waits for a block that is in the map can hurry nobody.
  for (WriteBlock& block : job.all()) {
    if (block.stage == Stage::applied) end(block);
  }
  if (elsewhere > 0) allow_hurry(job);
  // Followers still need the job's data, or there is no memory to keep these: the buffers stay.
  if (elsewhere > 0 || in_packer > buffers_.parked.available()) return;
  for (WriteBlock& block : job.all()) {
    if (block.stage != Stage::packing) continue;
    block.parked = buffers_.parked.take();
    std::memcpy(block.parked, block.data, kBlockSize);
    // All that point to the data follow: readers, and writers of equal data who compare.
    in_flight_.move(block.lbn, block.data, block.parked);
    block.data = block.parked;
    if (block.lock != nullptr) block.lock->data = block.data;
  }
  job.release_buffers();
}

/// Those blocks of the job that are neither in the map nor in the packer go on when its fragments
/// have left: whoever waits for one of them has these written.
void Packing::allow_hurry(WriteJob& job) {
  bool is_urgent = false;
  for (const WriteBlock& block : job.all()) {
    if (block.stage >= Stage::applied || block.stage == Stage::packing) continue;
    locks_.set_hurry(block.lbn, this);
    is_urgent = is_urgent || locks_.has_waiters(block.lbn);
  }
  if (is_urgent) packer_.flush();
}

void Packing::end(WriteBlock& block) {
  if (block.is_agent()) deduplication_.settle(block);
  in_flight_.end(block.lbn, block.data);
  block.enter(Stage::ended);
  if (block.parked != nullptr) buffers_.parked.give_back(std::exchange(block.parked, nullptr));
}

}  // namespace uvdo
