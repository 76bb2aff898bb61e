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
  /// The same of a store behind a network, to which each look connects.
  static constexpr std::chrono::milliseconds kRemotePause{2000};
  /// The time between two questions who it is that has the volume, which take a look at all
  /// processes of the machine.
  static constexpr std::chrono::seconds kQuestionPause{30};

  Standby(std::string volume, OpenMode mode) : volume_(std::move(volume)), mode_(mode) {}

  /// Whether time may mend what keeps a volume from being opened: somebody has it, or its storage
  /// is out of reach, not there yet or not to be written on this machine now.
  [[nodiscard]] static bool may_pass(const Error& error);

  /// Whether somebody has the volume now, or its storage is not there; always true once after
  /// lose(). What else keeps it from being opened is for who opens it, but where it was waited for:
  /// then it is waited for still.
  [[nodiscard]] bool must_wait();
  enum class End : std::uint8_t { free, told_to_stop };
  /// Behind must_wait(): waits until that is false, or a signal asks to stop. Says what it waits
  /// for, to `log` and to the service manager, for which the service is up from here on.
  End wait(const LogFunction& log);

  /// Why must_wait() is true.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Whether that is somebody who has the volume.
  [[nodiscard]] bool is_in_use() const { return obstacle_ == Obstacle::user; }

  /// The volume was free, but could not be opened then: another one was faster. Before the next
  /// race there is a pause, so that nobody runs in circles.
  void lose(const Error& why);
  [[nodiscard]] bool has_lost() const { return state_ == State::lost; }
  /// A signal that somebody else has taken ("SIGTERM") while the volume was to be opened: the next
  /// wait() ends by it.
  void heed(std::string signal) { signal_ = std::move(signal); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t { waiting, lost };
  enum class Obstacle : std::uint8_t { none, user, storage };

  void meet(const Error& error);
  bool tell(const LogFunction& log);
  [[nodiscard]] std::chrono::milliseconds pause() const;

  std::string volume_;
  OpenMode mode_;
  ServiceManager manager_;
  State state_ = State::waiting;
  Obstacle obstacle_ = Obstacle::none;  ///< the last that was met
  std::string reason_;                  ///< that, in words
  std::string told_;                    ///< the last reason that was told
  Clock::time_point next_question_;
  std::string signal_;
};

}  // namespace uvdo
