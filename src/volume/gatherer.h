// SPDX-License-Identifier: GPL-2.0-or-later
// Small writes that come in the same turn travel together: they are accepted into one job, which
// starts when it is full, at the turn's end, or after a short sleep if there are few.
//
// What holds here: a write that was accepted has been answered, its blocks are locked and published
// and room is promised for each; the job that gathers starts by itself, whoever waits or not.
#pragma once

#include <functional>

#include "ledger/ledger.h"
#include "volume/in_flight.h"
#include "volume/volume_life.h"
#include "volume/write_jobs.h"

namespace uvdo {

/// At most one job gathers at a time. It is Hurry for the holders of its blocks: who waits for one
/// of them ends the sleep.
class Gatherer final : private Hurry {
 public:
  /// `delay`: so long few blocks sleep; 0: they don't. `start` is given each job when it is to go;
  /// what runs at the turn's end is one of `tasks`.
  Gatherer(Executor& executor, const VolumeLife& life, const ReadOnlyNotifier& notifier,
           SlabDepot& depot, InFlight& in_flight, WriteJobs& jobs, Duration delay, TaskGroup& tasks,
           std::function<void(WriteJob&)> start)
      : executor_(executor),
        life_(life),
        notifier_(notifier),
        depot_(depot),
        in_flight_(in_flight),
        locks_(in_flight.locks()),
        jobs_(jobs),
        delay_(delay),
        tasks_(tasks),
        start_(std::move(start)),
        alarm_(executor) {}

  /// Writes of up to so many blocks are worth it.
  static constexpr std::size_t kMostBlocks = 8;

  /// Accepts a write whose blocks are locked and have leaves, if nothing has to be waited for.
  /// False: nothing has been done, and `data` is still there. Needs jobs.has_spare().
  bool accept(Lbn first, Buffer& data);
  /// Starts what has gathered: who comes later is not to join it.
  void start();
  /// Ends its sleep.
  void hurry() override {
    if (state_ == State::waiting && delay_ > Duration::zero()) alarm_.ring();
  }
  void check_invariants() const {
    check(job_ == nullptr || (state_ == State::waiting && job_->has_promise),
          "small writes have gathered that nobody will start");
  }

 private:
  /// So many blocks don't wait for company.
  static constexpr std::size_t kCompany = 8;
  enum class State : std::uint8_t {
    idle,
    waiting,  ///< for the turn's end, or asleep: then what has gathered is started
  };
  Task<void> start_at_turn_end();
  void allow_hurry(const WriteBlock& block);

  Executor& executor_;
  const VolumeLife& life_;
  const ReadOnlyNotifier& notifier_;
  SlabDepot& depot_;
  InFlight& in_flight_;
  LbnLocks& locks_;
  WriteJobs& jobs_;
  Duration delay_;
  TaskGroup& tasks_;
  std::function<void(WriteJob&)> start_;
  Alarm alarm_;
  State state_ = State::idle;
  WriteJob* job_ = nullptr;
  TimePoint since_;
};

}  // namespace uvdo
