// SPDX-License-Identifier: GPL-2.0-or-later
// What signals are to a server. Each that would end a process by default, and is not one of an
// error of the program itself, asks it to stop cleanly; SIGHUP, to read again what may change;
// SIGPIPE and SIGXFSZ mean nothing, what they tell of are errors of writes. A background job may
// write to its terminal and go on without it: SIGTTIN and SIGTTOU mean nothing either.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <string>

#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "base/file_descriptor.h"

namespace uvdo {

/// hold(), then on the loop's thread: start(), end(). Signals that come between hold() and start()
/// are kept by the kernel and taken then.
class ServerSignals {
 public:
  /// From now on signals wait for a ServerSignals. For the first thread, before it starts others.
  static void hold();

  /// Before there is a loop, after hold(): waits so long for a signal that asks to stop. Its name;
  /// empty if none has come. Others end the wait early, and mean nothing.
  [[nodiscard]] static std::string wait_without_loop(std::chrono::milliseconds longest);

  explicit ServerSignals(UringLoop& loop) : loop_(loop), stopped_(loop), readers_(loop) {}
  ServerSignals(const ServerSignals&) = delete;
  ServerSignals& operator=(const ServerSignals&) = delete;

  /// Begins to take signals.
  Result<void> start();
  /// Ends that; to be awaited before this is destroyed, if it was started.
  Task<void> end();

  /// Calls `hangup` at each SIGHUP from now on.
  void on_hangup(std::function<void()> hangup) { hangup_ = std::move(hangup); }
  /// Does what a signal does that asks to stop.
  void stop() { stopped_.set(); }
  /// Waits until somebody has asked to stop.
  auto wait_for_stop() { return stopped_.wait(); }
  /// The signal that asked, as "SIGTERM"; empty if it was none.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  Task<void> read_signals();

  UringLoop& loop_;
  FileDescriptor fd_;
  std::function<void()> hangup_ = [] {};
  std::string reason_;
  Event stopped_;
  TaskGroup readers_;
  UringLoop::Operation* reading_ = nullptr;
  bool ending_ = false;
};

}  // namespace uvdo
