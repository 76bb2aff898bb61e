// SPDX-License-Identifier: GPL-2.0-or-later
// A server in waiting: it lets alone what somebody else has, and is told when that is free.
//
// It asks again and again, as there is nothing to block on for every kind of store: a claim of a
// block device (O_EXCL) and the locks of stores on other machines cannot be waited for, and a file
// has several locks, on itself and on what lies beneath. Nothing is held meanwhile, no thread runs,
// and no loop: between two looks the process sleeps.
#pragma once

#include <chrono>
#include <string>

#include "base/log.h"
#include "device/backing_file.h"
#include "net/service_manager.h"

namespace uvdo {

/// Used after ServerSignals::hold(), by the one thread that there is.
class Standby {
 public:
  /// The time between two looks. What is free is noticed within so long.
  static constexpr std::chrono::milliseconds kPause{400};

  Standby(std::string volume, OpenMode mode) : volume_(std::move(volume)), mode_(mode) {}

  /// Whether somebody has the volume now. What else keeps it from being opened is for who opens it,
  /// but where it was waited for: then it is waited for still.
  [[nodiscard]] bool must_wait();
  enum class End : std::uint8_t { free, told_to_stop };
  /// Waits until nobody has the volume, or a signal asks to stop. Says whom it waits for, to `log`
  /// and to the service manager, for which the service is up from here on.
  End wait(const LogFunction& log);

  /// Another one was faster when the volume was free.
  void lose() { state_ = State::lost; }
  [[nodiscard]] bool has_lost() const { return state_ == State::lost; }

 private:
  enum class State : std::uint8_t { waiting, lost };

  std::string volume_;
  OpenMode mode_;
  ServiceManager manager_;
  State state_ = State::waiting;
  bool has_waited_ = false;
  std::string reason_;  ///< why it waits, as it was last seen
};

}  // namespace uvdo
