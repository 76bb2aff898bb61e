// SPDX-License-Identifier: GPL-2.0-or-later
// Suspending a volume and going on (behaviour.md, 11). Requests are held at their entry, and
// whatever goes on in the background at the device: between the two nothing is under way.
#include <fmt/core.h>

#include "volume/volume.h"

namespace uvdo {

Task<Result<void>> Volume::suspend(SuspendMode mode) {
  PatientRequest request(patient_requests_, request_time());
  auto done = co_await request.answer(suspend_in_turn(request, mode));
  if (!request.is_refused()) co_return done;
  co_return std::move(done).error().within("the volume is not suspended");
}

Task<Result<void>> Volume::suspend_in_turn(PatientRequest& request, SuspendMode mode) {
  const Refusal refusal(request);
  const RequestPass pass(administrators_);
  co_await administration_.acquire();
  Result<void> done;
  if (stopping_ || is_last_) {
    done = refused();
  } else if (suspended_) {
    done = Error(Errc::busy, "the volume is suspended already");
  } else {
    done = co_await suspend_alone(mode, refusal);
  }
  administration_.release();
  co_return done;
}

/// Where there is no room for what is under way, it is broken off after the time limit: the gate of
/// the requests, which is closed meanwhile, is opened for reads then (room_has_changed()), and for
/// all others when what had begun has ended.
Task<Result<void>> Volume::suspend_alone(SuspendMode mode, const Refusal& refusal) {
  if (!room_.is_open()) {
    co_return Error(Errc::no_space,
                    "writes wait for room beneath the volume; make some before it is suspended");
  }
  const bool saves = mode == SuspendMode::save;
  // Saved half-way through a recovery it would be in a state after which a kernel that crashes does
  // not replay its journal.
  while (saves && is_recovering() && !refusal.is_given()) co_await depot_->wait_for_scrub();
  if (refusal.is_given()) co_return Refusal::error();
  if (co_await requests_gate_.close()) co_await drain_writes();
  if (!requests_gate_.is_closed()) {
    requests_gate_.open();
    co_return Refusal::error().within("the volume is not suspended");
  }
  Result<void> done;
  const bool was_read_only = notifier_.is_read_only();
  if (!was_read_only) {
    if (saves) {
      done = co_await save(false);
    } else {
      done = co_await journal_->commit_all();
    }
  }
  if (!done) {
    notifier_.enter(done.error());  // if it is not in read-only mode already
    requests_gate_.open();
    co_await jobs_.wait();
    co_return Error(done.error().code(),
                    fmt::format("the volume is not suspended, but in read-only mode now and can "
                                "still be read: {}",
                                done.error().message()));
  }
  // The index may write still, and nobody looks after room once the device is let alone.
  while (requests_gate_.is_closed() && !room_.is_open()) co_await room_.changed().wait();
  if (requests_gate_.is_closed()) co_await hold_.close();
  const bool is_broken_off = !requests_gate_.is_closed();
  // What came back last may have made the volume read-only: that is recorded as long as the device
  // is there, also over a save that has marked the volume clean.
  suspended_ = mode;
  if (!is_broken_off) co_await jobs_.wait();
  was_saved_ = saves && !notifier_.is_read_only();
  if (is_broken_off || refusal.is_given()) {
    auto resumed = co_await go_on();
    if (!resumed) co_return resumed;
    co_return Refusal::error().within("the volume is not suspended");
  }
  if (auto let_go = store_.release(); !let_go) {
    auto resumed = co_await go_on();
    co_return (resumed ? std::move(let_go) : std::move(resumed)).error().within("not suspended");
  }
  log_(was_saved_ ? "suspended: the volume is saved, and nothing is using its device"
                  : "suspended: nothing is using the volume's device");
  co_return done;
}

Task<Result<void>> Volume::resume() {
  PatientRequest request(patient_requests_, request_time());
  auto done = co_await request.answer(resume_in_turn());
  if (!request.is_refused()) co_return done;
  co_return std::move(done).error().within("the volume is not resumed before there is room");
}

Task<Result<void>> Volume::resume_in_turn() {
  const RequestPass pass(administrators_);
  co_await administration_.acquire();
  Result<void> done;
  if (stopping_ || abandoned_) {
    done = refused();
  } else if (!suspended_) {
    done = Error(Errc::invalid_argument, "the volume is not suspended");
  } else {
    done = co_await resume_alone();
  }
  administration_.release();
  co_return done;
}

Task<Result<void>> Volume::resume_alone() {
  auto done = store_.reopen();
  if (done) {
    done = co_await verify_device();
    if (!done) {
      [[maybe_unused]] const auto let_go = store_.release();
    }
  }
  if (!done) co_return std::move(done).error().within("the volume is still suspended");
  done = co_await go_on();
  if (!done) co_return std::move(done).error().within("resumed, but in read-only mode");
  log_("resumed");
  co_return done;
}

Task<Result<void>> Volume::go_on() {
  Result<void> done;
  // It is in use again: whatever ends it without a save is a crash.
  if (was_saved_ && !notifier_.is_on(Fault::resume_without_dirty_mark)) {
    done = co_await super_block_store_.change([](SuperBlock& next) -> Result<void> {
      next.state = VolumeState::dirty;
      return {};
    });
  }
  const bool is_unrecorded = notifier_.is_read_only() && !opened_read_only_ &&
                             room_.state() != RoomGate::State::given_up &&
                             super_block_.state != VolumeState::read_only_mode;
  suspended_.reset();
  was_saved_ = false;
  if (!done) notifier_.enter(done.error());
  hold_.open();
  requests_gate_.open();
  if (is_unrecorded) jobs_.start(record_read_only());
  co_return done;
}

/// Whether the device that was opened anew holds this volume, as it was left.
Task<Result<void>> Volume::verify_device() {
  const MutableBytes block = identity_.block(0);
  auto done = co_await gate_.read(0, block);
  if (!done) co_return done;
  const auto geometry = decode_volume_geometry(block);
  if (!geometry || geometry->nonce != geometry_.nonce || geometry->uuid != geometry_.uuid) {
    co_return Error(Errc::corrupt, fmt::format("{} does not hold this volume; put it, or a copy of "
                                               "it, back in its place",
                                               store_.name()));
  }
  const std::uint64_t needed = device_byte(Pbn{super_block_.config.physical_blocks});
  if (store_.size() < needed) {
    co_return Error(Errc::corrupt,
                    fmt::format("{} has {} bytes, and the volume {}: the copy is not complete",
                                store_.name(), store_.size(), needed));
  }
  done = co_await gate_.read(device_byte(geometry_.data_start), block);
  if (!done) co_return done;
  const auto found = decode_super_block(block, geometry_);
  const bool is_same = found && (notifier_.is_read_only() && !is_opened_for_reading()
                                     ? found->config == super_block_.config
                                     : *found == super_block_);
  if (is_same) co_return done;
  co_return Error(
      Errc::corrupt,
      fmt::format(
          "{} holds this volume in another state (it was started elsewhere meanwhile, or is "
          "an older copy); put back what was suspended, or stop this server",
          store_.name()));
}

Task<Result<void>> Volume::end_suspension() {
  is_last_ = true;
  room_.set_patience(RoomGate::Patience::limited);
  room_.changed().wake_all();
  co_await administration_.acquire();  // one that has begun ends first
  Result<void> done;
  if (suspended_ && !abandoned_ && !was_saved_ && !notifier_.is_read_only())
    done = co_await resume_alone();
  if (suspended_ && !abandoned_) {
    abandoned_ = true;
    hold_.abandon();
    requests_gate_.abandon();
  }
  administration_.release();
  co_return done;
}

Task<Result<void>> Volume::stop_abandoned() {
  co_await requests_gate_.drain();
  co_await walks_.wait();
  ending_ = true;
  packer_->stop();
  commit_alarm_.ring();
  write_back_alarm_.ring();
  co_await background_.wait();
  co_await jobs_.wait();
  co_await data_writer_->wait_idle();
  if (index_) {
    // It was saved with the volume, if it could be; now it only ends. Who was closing it, or making
    // a new one, has met the end of the device and is done first.
    co_await index_operation_.acquire();
    [[maybe_unused]] const auto without_device = co_await index_->save();
    index_operation_.release();
  }
  co_return Result<void>();
}

}  // namespace uvdo
