// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/standby.h"

#include <fmt/core.h>

#include "device/open_device.h"
#include "serve/server_signals.h"

namespace uvdo {

bool Standby::must_wait() {
  state_ = State::waiting;
  auto free = check_is_free(volume_, mode_);
  if (free) return false;
  // Storage of other machines may be out of reach for a while.
  if (free.error().code() != Errc::busy && !has_waited_) return false;
  has_waited_ = true;
  reason_ = free.error().message();
  return true;
}

Standby::End Standby::wait(const LogFunction& log) {
  std::string told;
  while (must_wait()) {
    if (reason_ != told) {
      const std::string line = fmt::format("standing by for {}: {}", volume_, reason_);
      log(line);
      if (told.empty()) {
        manager_.notify_ready(line);
      } else {
        manager_.notify_status(line);
      }
      told = reason_;
    }
    manager_.notify_alive();
    const std::string signal = ServerSignals::wait_without_loop(kPause);
    if (signal.empty()) continue;
    manager_.notify_stopping();
    log(fmt::format("standing by no longer, because of {}", signal));
    return End::told_to_stop;
  }
  if (has_waited_) {
    const std::string line = fmt::format("taking over {}", volume_);
    log(line);
    manager_.notify_status(line);
  }
  return End::free;
}

}  // namespace uvdo
