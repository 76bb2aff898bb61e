// SPDX-License-Identifier: GPL-2.0-or-later
// The requests of an NbdStore, as commands to its server; and what of them is kept until a flush.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/block_types.h"
#include "device/nbd_store_parts.h"
#include "device/room_gate.h"

namespace uvdo {
namespace {

/// Memory for what was written since the last flush.
constexpr std::uint64_t kMostUnflushed = std::uint64_t{32} << 20;
/// What one command discards or zeroes: less than the 32 bits that it has for it.
constexpr std::uint64_t kLongestRange = std::uint64_t{1} << 30;

bool is_aligned(const Device::Request& request, std::uint64_t unit) {
  return request.offset % unit == 0 && request.length % unit == 0;
}

}  // namespace

void NbdStore::submit(Request& request) {
  if (loop_ == nullptr && !is_aligned(request, export_.least_block)) {
    return carry_out_unaligned(request);
  }
  meter_.begin(request.op, request.length);
  start(request);
  if (loop_ != nullptr) return turn();
  turn();
  while (!request.done) wait();
}

/// Of who makes requests of any size: the blocks around it are read, and written if need be. They
/// are those of the server, of which an export has no part of one at its end.
void NbdStore::carry_out_unaligned(Request& request) {
  const std::uint64_t unit = export_.least_block;
  const std::uint64_t start = request.offset / unit * unit;
  const std::uint64_t end = (request.offset + request.length + unit - 1) / unit * unit;
  const AlignedMemory around = AlignedMemory::unset(end - start);
  const iovec whole{around.data(), around.size()};
  Request inner;
  inner.op = Op::read;
  inner.offset = start;
  inner.length = around.size();
  inner.slices = {&whole, 1};
  submit(inner);
  std::byte* at = around.data() + (request.offset - start);
  if (request.op == Op::write_zeroes) std::memset(at, 0, request.length);
  for (const iovec& slice : request.slices) {
    if (request.op == Op::read) {
      std::memcpy(slice.iov_base, at, slice.iov_len);
    } else {
      std::memcpy(at, slice.iov_base, slice.iov_len);
    }
    at += slice.iov_len;
  }
  if (request.changes() && request.op != Op::discard && inner.error == 0) {
    inner.op = Op::write;
    inner.durability = request.durability;
    inner.done = false;
    submit(inner);
  }
  request.error = inner.error;
  request.done = true;
}

NbdStore::Job& NbdStore::make_job(Op op) {
  // Nobody was waited for until here.
  if (is_idle()) last_sign_ = Clock::now();
  auto made = std::make_unique<Job>();
  Job& job = *made;
  job.op = op;
  jobs_.emplace(&job, std::move(made));
  return job;
}

void NbdStore::cut(Job& job, std::uint64_t offset, std::uint64_t length, std::byte* data,
                   Durability durability) {
  const bool has_data = job.op == Op::read || job.op == Op::write;
  const std::uint64_t most =
      has_data ? std::max(export_.longest_data / kBlockSize, std::uint64_t{1}) * kBlockSize
               : kLongestRange;
  do {
    const std::uint64_t now = std::min(length, most);
    NbdCommand command;
    command.op = job.op;
    command.durability = durability;
    command.offset = offset;
    command.length = now;
    command.data = data;
    command.owner = &job;
    job.commands.push_back(command);
    offset += now;
    length -= now;
    if (data != nullptr) data += now;
  } while (length > 0);
  job.unanswered = job.commands.size();
}

void NbdStore::start(Request& request) {
  Job& job = make_job(request.op);
  job.request = &request;
  const bool is_possible = (request.op != Op::discard || export_.can_trim) &&
                           (request.op != Op::write_zeroes || export_.can_zero);
  if (!is_possible) job.error = EOPNOTSUPP;
  if (request.changes() && mode_ == OpenMode::read_only) job.error = EROFS;
  if (has_ended()) job.error = EIO;
  if (request.op == Op::flush) {
    job.mark = unflushed_.mark();
    job.lost_error = lost_error_;
  }
  // By a server that knows no flush a write is stable when it is answered, as far as it can tell.
  const bool is_nothing = request.op == Op::flush && !export_.can_flush;
  if (is_nothing || job.error != 0) return answer(job);
  prepare(job, request);
  for (NbdCommand& command : job.commands) waiting_.push_back(&command);
}

/// Makes the commands of a request.
void NbdStore::prepare(Job& job, Request& request) {
  const bool is_stable = request.durability == Durability::fua;
  const bool is_fua = is_stable && export_.can_fua && request.op == Op::write;
  const Durability durability = is_fua ? Durability::fua : Durability::cached;
  job.needs_flush = is_stable && !is_fua && export_.can_flush;
  std::byte* data = nullptr;
  if (request.op == Op::read || request.op == Op::write) {
    // What is kept for later must be a copy: who writes has its buffers back with the answer.
    const bool is_kept =
        request.op == Op::write && export_.can_flush && durability == Durability::cached;
    if (request.slices.size() == 1 && !is_kept) {
      data = static_cast<std::byte*>(request.slices.front().iov_base);
    } else {
      job.memory = std::make_shared<AlignedMemory>(AlignedMemory::unset(request.length));
      data = job.memory->data();
    }
  }
  if (request.op == Op::write && job.memory) {
    std::byte* at = data;
    for (const iovec& slice : request.slices) {
      std::memcpy(at, slice.iov_base, slice.iov_len);
      at += slice.iov_len;
    }
  }
  cut(job, request.offset, request.length, data, durability);
}

void NbdStore::answered(NbdCommand& command) {
  Job& job = *static_cast<Job*>(command.owner);
  if (job.error == 0) job.error = command.error;
  if (--job.unanswered > 0) return;
  finish(job);
}

void NbdStore::finish(Job& job) {
  switch (job.purpose) {
    case Job::For::own_flush: return finish_own_flush(job);
    case Job::For::replay: {
      if (job.error != 0) replay_error_ = job.error;
      --replaying_;
      return;
    }
    case Job::For::request: break;
  }
  Request& request = *job.request;
  if (job.error != 0) return answer(job);
  switch (job.op) {
    case Op::read:
      if (job.memory) {
        const std::byte* at = job.memory->data();
        for (const iovec& slice : request.slices) {
          std::memcpy(slice.iov_base, at, slice.iov_len);
          at += slice.iov_len;
        }
      }
      return answer(job);
    case Op::flush:
      // It began after the last failure, which had else become its own.
      lost_error_ = 0;
      unflushed_.forget_up_to(job.mark);
      job.error = job.lost_error;
      return answer(job);
    case Op::discard: unflushed_.forget(request.offset, request.length); return answer(job);
    case Op::write:
    case Op::write_zeroes: return finish_write(job);
  }
}

void NbdStore::finish_write(Job& job) {
  const Request& request = *job.request;
  // What it has overwritten must not be written again.
  unflushed_.forget(request.offset, request.length);
  const bool is_stable = job.commands.front().durability == Durability::fua;
  // A write that was begun when the server had no flush has no copy.
  const bool is_kept = export_.can_flush && (job.op == Op::write_zeroes || job.memory);
  if (is_stable || !is_kept) return answer(job);
  unflushed_.add(request.offset, request.length, job.memory);
  job.mark = unflushed_.mark();
  if (job.needs_flush || unflushed_.held() > kMostUnflushed) {
    behind_flush_.push_back(&job);
    return flush_by_itself();
  }
  answer(job);
}

void NbdStore::flush_by_itself() {
  if (std::exchange(flushes_by_itself_, true)) return;
  Job& job = make_job(Op::flush);
  job.purpose = Job::For::own_flush;
  job.mark = unflushed_.mark();
  cut(job, 0, 0, nullptr, Durability::cached);
  waiting_.push_back(&job.commands.front());
}

void NbdStore::finish_own_flush(Job& job) {
  flushes_by_itself_ = false;
  const int error = job.error;
  if (error == 0) {
    unflushed_.forget_up_to(job.mark);
  } else {
    lost_error_ = error;
    // Nobody knows whether the server has dropped what they are for.
    for (auto& [other, owned] : jobs_) {
      const bool is_flush = other->purpose == Job::For::request && other->op == Op::flush;
      if (is_flush && other->error == 0) other->error = error;
    }
  }
  const std::uint64_t mark = job.mark;
  remove(job);
  // Those that came later and need it wait for the next one.
  std::vector<Job*> later;
  for (Job* write : std::exchange(behind_flush_, {})) {
    if (error == 0 && write->mark > mark) {
      later.push_back(write);
      continue;
    }
    write->error = error;
    answer(*write);
  }
  behind_flush_ = std::move(later);
  if (!behind_flush_.empty()) flush_by_itself();
}

void NbdStore::answer(Job& job) {
  Request& request = *job.request;
  request.error = job.error;
  if (job.error != 0 && job.error != EOPNOTSUPP) {
    meter_.fail(request.op, is_no_room(job.error));
    if (on_failure_) on_failure_({request.op, request.offset, request.length, job.error});
  }
  meter_.end();
  const auto waiter = request.waiter;
  remove(job);
  if (loop_ == nullptr) {
    request.done = true;
  } else if (waiter) {
    loop_->post(waiter);
  } else {
    request.done = true;  // inside submit()
  }
}

void NbdStore::remove(Job& job) { jobs_.erase(&job); }

}  // namespace uvdo
