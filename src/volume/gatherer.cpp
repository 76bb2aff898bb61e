// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/gatherer.h"

namespace uvdo {
namespace {

/// Time for a block, from which on the first thread does all by itself without being in a hurry.
constexpr Duration kTrickle = std::chrono::microseconds(10);

}  // namespace

bool Gatherer::accept(Lbn first, Buffer& data) {
  const std::size_t count = data.size() / kBlockSize;
  if (life_.is_stopping() || notifier_.is_read_only() || depot_.has_most_frees()) return false;
  // The last that can refuse: from here on the write is accepted, without a wait.
  if (!depot_.reserve(count)) return false;
  if (job_ != nullptr && job_->count + count > WriteJob::kMaxBlocks) start();
  if (job_ == nullptr) {
    job_ = &jobs_.take();
    since_ = executor_.now();
    job_->durability = Durability::cached;
    job_->has_promise = true;
    if (std::exchange(state_, State::waiting) == State::idle) tasks_.start(start_at_turn_end());
  }
  job_->promised += static_cast<std::uint32_t>(count);
  const std::byte* bytes = data.data();
  // The bytes stay where they are when the buffer is moved into the job.
  for (std::size_t i = 0; i < count; ++i) in_flight_.publish(first + i, bytes + i * kBlockSize);
  job_->add(first, std::move(data));
  if (delay_ > Duration::zero()) {
    // From now on, not only when it sleeps: an alarm that rang before ends the sleep at once.
    for (const WriteBlock& block : job_->all().last(count)) allow_hurry(block);
    if (job_->count >= kCompany) hurry();
  }
  if (job_->count == WriteJob::kMaxBlocks) start();
  return true;
}

void Gatherer::allow_hurry(const WriteBlock& block) {
  locks_.set_hurry(block.lbn, this);
  if (locks_.has_waiters(block.lbn)) hurry();
}

void Gatherer::start() {
  if (job_ == nullptr) return;
  WriteJob& job = *std::exchange(job_, nullptr);
  job.trickles = executor_.now() - since_ > kTrickle * job.count;
  start_(job);
}

Task<void> Gatherer::start_at_turn_end() {
  co_await executor_.turn_end();
  // Few blocks sleep a little for company; a volume that stops waits for none.
  if (job_ != nullptr && job_->count < kCompany && delay_ > Duration::zero() &&
      !life_.is_stopping()) {
    co_await alarm_.sleep(delay_);
  }
  state_ = State::idle;
  start();
}

}  // namespace uvdo
