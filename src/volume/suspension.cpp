// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/suspension.h"

#include <fmt/core.h>

namespace uvdo {

Suspension::Suspension(const VolumeGeometry& geometry, BackingStore& store, DeviceGates& gates,
                       VolumeLife& life, ReadOnlyNotifier& notifier, Entrance& entrance,
                       WriteAdmission& admission, Administration& administration, Ledger& ledger,
                       SuperBlockStore& super_blocks, WritePath& writes, Saver& saver,
                       ReadOnlyRecord& record, FaultPoints faults, LogFunction log)
    : geometry_(geometry),
      store_(store),
      gates_(gates),
      life_(life),
      notifier_(notifier),
      entrance_(entrance),
      admission_(admission),
      administration_(administration),
      ledger_(ledger),
      super_blocks_(super_blocks),
      writes_(writes),
      saver_(saver),
      record_(record),
      faults_(faults),
      log_(std::move(log)),
      identity_(kBlockSize) {}

Task<Result<void>> Suspension::suspend(SuspendMode mode) {
  PatientRequest request(entrance_.patient(), admission_.request_time());
  auto done = co_await request.answer(suspend_in_turn(request, mode));
  if (!request.is_refused()) co_return done;
  co_return std::move(done).error().within("the volume is not suspended");
}

Task<Result<void>> Suspension::suspend_in_turn(PatientRequest& request, SuspendMode mode) {
  const Refusal refusal(request);
  const RequestPass pass(administration_.under_way());
  co_await administration_.begin();
  Result<void> done;
  // Asked when it is this one's turn: others have had theirs while it waited.
  if (life_.is_leaving()) {
    done = Entrance::refused();
  } else if (is_suspended()) {
    done = Error(Errc::busy, "the volume is suspended already");
  } else {
    done = co_await suspend_alone(mode, refusal);
  }
  administration_.end();
  co_return done;
}

/// Where there is no room for what is under way, it is broken off after the time limit: the gate of
/// the requests, which is closed meanwhile, is opened for reads then (break_off()), and for all
/// others when what had begun has ended.
Task<Result<void>> Suspension::suspend_alone(SuspendMode mode, const Refusal& refusal) {
  if (!admission_.is_open()) {
    co_return Error(Errc::no_space,
                    "writes wait for room beneath the volume; make some before it is suspended");
  }
  SlabDepot& depot = ledger_.depot();
  RequestGate& requests = entrance_.gate();
  const bool saves = mode == SuspendMode::save;
  // Saved half-way through a recovery it would be in a state after which a kernel that crashes does
  // not replay its journal.
  while (saves && depot.unscrubbed() > 0 && !notifier_.is_read_only() && !refusal.is_given()) {
    co_await depot.wait_for_scrub();
  }
  if (refusal.is_given()) co_return Refusal::error();
  // Requests first, then what answered writes have left behind them.
  if (co_await requests.close()) co_await writes_.drain();
  // It was broken off meanwhile (break_off()): nothing has been written for it.
  if (!requests.is_closed()) {
    requests.open();
    co_return Refusal::error().within("the volume is not suspended");
  }
  if (auto done = co_await leave_on_device(mode); !done) co_return done;
  co_await close_device();
  const bool is_broken_off = !requests.is_closed();
  if (!is_broken_off) {
    // What came back last may have made the volume read-only: that is recorded as long as the
    // device is there, also over a save that has marked the volume clean.
    state_ = State::suspended;
    co_await record_.wait();
    if (saves && !notifier_.is_read_only()) state_ = State::saved;
  }
  if (is_broken_off || refusal.is_given()) {
    auto resumed = co_await go_on(saves && !notifier_.is_read_only());
    if (!resumed) co_return resumed;
    co_return Refusal::error().within("the volume is not suspended");
  }
  // The lock on the storage goes with it: from here on somebody else may start the volume.
  if (auto let_go = store_.release(); !let_go) {
    auto resumed = co_await go_on(state_ == State::saved);
    co_return (resumed ? std::move(let_go) : std::move(resumed)).error().within("not suspended");
  }
  log_(state_ == State::saved ? "suspended: the volume is saved, and nothing is using its device"
                              : "suspended: nothing is using the volume's device");
  co_return Result<void>();
}

Task<Result<void>> Suspension::leave_on_device(SuspendMode mode) {
  if (notifier_.is_read_only()) co_return Result<void>();
  Result<void> done;
  if (mode == SuspendMode::save) {
    done = co_await saver_.save(IndexHolder::Saving::and_go_on);
  } else {
    done = co_await ledger_.journal().commit_all();
  }
  if (done) co_return done;
  // A save that has failed half-way cannot be taken back; what the journal has still counts.
  notifier_.enter(done.error());  // if it is not in read-only mode already
  entrance_.gate().open();
  co_await record_.wait();
  co_return Error(done.error().code(),
                  fmt::format("the volume is not suspended, but in read-only mode now and can "
                              "still be read: {}",
                              done.error().message()));
}

Task<void> Suspension::close_device() {
  // The index may write still, and nobody looks after room once the device is let alone.
  while (entrance_.gate().is_closed() && !admission_.is_open()) {
    co_await admission_.gate().changed().wait();
  }
  if (entrance_.gate().is_closed()) co_await gates_.hold.close();
}

void Suspension::break_off() {
  // Nothing waits for room any more: all that was under way has ended.
  if (is_suspended()) return;
  entrance_.gate().open_for_reads();
  if (gates_.hold.is_closed()) gates_.hold.open();
}

Task<Result<void>> Suspension::resume() {
  PatientRequest request(entrance_.patient(), admission_.request_time());
  auto done = co_await request.answer(resume_in_turn());
  if (!request.is_refused()) co_return done;
  co_return std::move(done).error().within("the volume is not resumed before there is room");
}

Task<Result<void>> Suspension::resume_in_turn() {
  const RequestPass pass(administration_.under_way());
  co_await administration_.begin();
  Result<void> done;
  // A volume that is leaving may still be resumed; one whose stop has begun may not.
  if (life_.is_stopping() || state_ == State::abandoned) {
    done = Entrance::refused();
  } else if (!is_suspended()) {
    done = Error(Errc::invalid_argument, "the volume is not suspended");
  } else {
    done = co_await resume_alone();
  }
  administration_.end();
  co_return done;
}

Task<Result<void>> Suspension::resume_alone() {
  auto done = store_.reopen();
  if (done) {
    // Before anything is written: what lies there may be another volume, or another state of this
    // one.
    done = co_await verify_device();
    if (!done) {
      [[maybe_unused]] const auto let_go = store_.release();
    }
  }
  if (!done) co_return std::move(done).error().within("the volume is still suspended");
  done = co_await go_on(state_ == State::saved);
  if (!done) co_return std::move(done).error().within("resumed, but in read-only mode");
  log_("resumed");
  co_return done;
}

Task<Result<void>> Suspension::go_on(bool is_clean_on_disk) {
  Result<void> done;
  // It is in use again: whatever ends it without a save is a crash.
  if (is_clean_on_disk && !faults_.is_on(Fault::resume_without_dirty_mark)) {
    done = co_await super_blocks_.change([](SuperBlock& next) -> Result<void> {
      next.state = VolumeState::dirty;
      return {};
    });
  }
  // It became read-only while the device was let alone, or just now.
  const bool is_unrecorded = notifier_.is_read_only() && !life_.is_for_reading() &&
                             !admission_.is_given_up() && !record_.is_written();
  state_ = State::none;
  if (!done) notifier_.enter(done.error());
  // The super block is stable, or the volume is read-only: what is held back in the background may
  // be written. Then clients.
  gates_.hold.open();
  entrance_.gate().open();
  if (is_unrecorded) record_.start();
  co_return done;
}

/// Whether the device that was opened anew holds this volume, as it was left.
Task<Result<void>> Suspension::verify_device() {
  const SuperBlock& super_block = super_blocks_.current();
  const MutableBytes block = identity_.block(0);
  auto done = co_await gates_.flushes.read(0, block);
  if (!done) co_return done;
  const auto geometry = decode_volume_geometry(block);
  if (!geometry || geometry->nonce != geometry_.nonce || geometry->uuid != geometry_.uuid) {
    co_return Error(Errc::corrupt, fmt::format("{} does not hold this volume; put it, or a copy of "
                                               "it, back in its place",
                                               store_.name()));
  }
  const std::uint64_t needed = volume_end(geometry_, super_block);
  if (store_.size() < needed) {
    co_return Error(Errc::corrupt,
                    fmt::format("{} has {} bytes, and the volume {}: the copy is not complete",
                                store_.name(), store_.size(), needed));
  }
  done = co_await PbnDevice(gates_.flushes, geometry_.bio_offset).read(geometry_.data_start, block);
  if (!done) co_return done;
  const auto found = decode_super_block(block, geometry_);
  // The record of read-only mode may have failed, or come after what is in memory: the sizes must
  // do.
  const bool fell_read_only = notifier_.is_read_only() && life_.use() != VolumeLife::Use::reading;
  const bool is_same =
      found && (fell_read_only ? found->config == super_block.config : *found == super_block);
  if (is_same) co_return done;
  co_return Error(
      Errc::corrupt,
      fmt::format(
          "{} holds this volume in another state (it was started elsewhere meanwhile, or is "
          "an older copy); put back what was suspended, or stop this server",
          store_.name()));
}

Task<Result<void>> Suspension::end() {
  life_.enter(VolumeLife::Stage::leaving);
  // From now on what waits for room fails after the time limit, so that a suspension under way
  // ends.
  admission_.gate().set_patience(RoomGate::Patience::limited);
  admission_.gate().changed().wake_all();
  co_await administration_.begin();  // one that has begun ends first
  Result<void> done;
  if (state_ == State::suspended && !notifier_.is_read_only()) done = co_await resume_alone();
  if (state_ == State::suspended || state_ == State::saved) {
    state_ = State::abandoned;
    // What is held fails: the device has been let go of.
    gates_.hold.abandon();
    entrance_.gate().abandon();
  }
  administration_.end();
  co_return done;
}

}  // namespace uvdo
