// SPDX-License-Identifier: GPL-2.0-or-later
// The writes under way: there is memory for so many, and a flush knows which of them it has to wait
// for.
//
// What holds here: a job that was taken belongs to a generation until it is given back; so a flush
// that waits for its generation waits for all writes that were accepted before it and for none that
// came later. A job is on its way to the packer until it has given all it may give.
#pragma once

#include <memory>

#include "base/object_pool.h"
#include "volume/write_job.h"

namespace uvdo {

/// Two counts of generations: one for the end of jobs, one for their way to the packer, so that a
/// flush can empty the packer once, when all that it waits for has come there.
class WriteJobs {
 public:
  WriteJobs(Executor& executor, std::size_t count, FaultPoints faults = {})
      : pool_(count),
        returned_(executor),
        generations_(executor, faults),
        ways_to_packer_(executor, faults) {
    generations_.reserve(kFlushes);
    ways_to_packer_.reserve(kFlushes);
  }

  /// Whether take() has one to give.
  [[nodiscard]] bool has_spare() const { return pool_.has_spare(); }
  /// One that is empty. Needs has_spare().
  WriteJob& take() {
    check(has_spare(), "more writes are under way than there is memory for");
    WriteJob& job = pool_.take();
    job.generation = generations_.enter();
    job.way_to_packer = ways_to_packer_.enter();
    job.is_on_its_way = true;
    return job;
  }
  /// The job gives nothing to the packer any more, or without delay.
  void leave_way_to_packer(WriteJob& job) {
    if (std::exchange(job.is_on_its_way, false)) ways_to_packer_.leave(job.way_to_packer);
  }
  /// Takes a job back whose blocks have ended and which holds nothing any more.
  void give(WriteJob& job) {
    leave_way_to_packer(job);
    generations_.leave(job.generation);
    job.release_buffers();
    job.count = 0;
    job.has_promise = false;
    job.refusal = nullptr;
    job.trickles = false;
    job.last_point = {};
    pool_.give(job);
    returned_.wake_one();
  }

  /// Waits for one to come back, or for pass_on(). `hurry` is called before, and each time again
  /// that others were quicker.
  template <class Call>
  Task<void> wait_for_spare(Call hurry) {
    ++shortages_;
    while (!has_spare()) {
      hurry();
      co_await returned_.wait();
    }
  }
  [[nodiscard]] bool has_waiters() const { return !returned_.empty(); }
  /// Who was woken does not need one after all.
  void pass_on() { returned_.wake_one(); }
  /// How often none was there.
  [[nodiscard]] std::uint64_t shortages() const { return shortages_; }

  /// Those that a flush that begins now waits for.
  struct Accepted {
    FlushGenerations::Number generation = 0;
    FlushGenerations::Number way_to_packer = 0;
  };
  Accepted begin_flush() { return {generations_.begin_flush(), ways_to_packer_.begin_flush()}; }
  Task<void> wait_for_ways(Accepted accepted) {
    return ways_to_packer_.wait(accepted.way_to_packer);
  }
  Task<void> wait_for_end(Accepted accepted) { return generations_.wait(accepted.generation); }

 private:
  /// Flushes that wait for writes, before memory is taken for more.
  static constexpr std::size_t kFlushes = 4096;
  ObjectPool<WriteJob> pool_;
  WaitQueue returned_;
  std::uint64_t shortages_ = 0;
  FlushGenerations generations_;  // accepted and not yet applied
  FlushGenerations ways_to_packer_;
};

}  // namespace uvdo
