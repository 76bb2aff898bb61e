// SPDX-License-Identifier: GPL-2.0-or-later
// Suspending a volume and going on (behaviour.md, 11). Requests are held at their entry, and
// whatever goes on in the background at the device: between the two nothing is under way.
//
// What holds here: between suspend() and resume() not a byte is read or written, and the device is
// let go of; what is there is the volume as it was left, or it is not resumed; no request is lost,
// each waits, or is refused because the volume ends.
#pragma once

#include "device/backing_store.h"
#include "volume/administration.h"
#include "volume/device_gates.h"
#include "volume/read_only_record.h"
#include "volume/saver.h"
#include "volume/write_path.h"

namespace uvdo {

/// How much of a volume is on its device while it is suspended.
enum class SuspendMode : std::uint8_t {
  save,     ///< everything: it is CLEAN there
  no_save,  ///< what flushes have covered and all that was answered: a start would recover it
};

/// The steps of a suspension, in their order: no more requests come in (RequestGate), those under
/// way end, the volume is saved or its journal committed, nothing reaches the device any more
/// (HoldGate), the device is let go. A resumption takes them back from the last to the first. Up to
/// the last step any of them may fail or be broken off, and the volume goes on.
class Suspension {
 public:
  enum class State : std::uint8_t {
    none,
    suspended,  ///< what is on the device would be recovered, or is in read-only mode
    saved,      ///< what is on the device is CLEAN
    abandoned,  ///< it ends without its device
  };

  Suspension(const VolumeGeometry& geometry, BackingStore& store, DeviceGates& gates,
             VolumeLife& life, ReadOnlyNotifier& notifier, Entrance& entrance,
             WriteAdmission& admission, Administration& administration, Ledger& ledger,
             SuperBlockStore& super_blocks, WritePath& writes, Saver& saver, ReadOnlyRecord& record,
             FaultPoints faults, LogFunction log);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool is_suspended() const { return state_ != State::none; }

  Task<Result<void>> suspend(SuspendMode mode);
  Task<Result<void>> resume();
  /// Before a stop, so that requests that are held come to an end, and no others are held: a
  /// suspended volume that was saved stays as it is on its device and they fail; another one is
  /// resumed, if it can be.
  Task<Result<void>> end();
  /// One that has begun may not keep reads waiting for room that is not there.
  void break_off();

 private:
  Task<Result<void>> suspend_in_turn(PatientRequest& request, SuspendMode mode);
  Task<Result<void>> suspend_alone(SuspendMode mode, const Refusal& refusal);
  Task<Result<void>> resume_in_turn();
  Task<Result<void>> resume_alone();
  /// Writes what is to be on the device meanwhile. An error: the volume is in read-only mode.
  Task<Result<void>> leave_on_device(SuspendMode mode);
  /// Lets nothing reach the device any more, once room has been found for what is under way.
  Task<void> close_device();
  /// Opens the gates of a volume whose device is open, and marks it in use again if its super block
  /// says that it is clean.
  Task<Result<void>> go_on(bool is_clean_on_disk);
  Task<Result<void>> verify_device();

  const VolumeGeometry& geometry_;
  BackingStore& store_;
  DeviceGates& gates_;
  VolumeLife& life_;
  ReadOnlyNotifier& notifier_;
  Entrance& entrance_;
  WriteAdmission& admission_;
  Administration& administration_;
  Ledger& ledger_;
  SuperBlockStore& super_blocks_;
  WritePath& writes_;
  Saver& saver_;
  ReadOnlyRecord& record_;
  FaultPoints faults_;
  LogFunction log_;
  AlignedMemory identity_;  // where the super block is read to, to know the volume again
  State state_ = State::none;
};

}  // namespace uvdo
