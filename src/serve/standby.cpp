// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/standby.h"

#include <utility>

#include <fmt/core.h>

#include "base/store_name.h"
#include "device/open_device.h"
#include "serve/server_signals.h"

namespace uvdo {

bool Standby::may_pass(const Error& error) {
  switch (error.code()) {
    case Errc::busy:
    case Errc::not_found:
    case Errc::read_only:
    case Errc::io: return true;
    case Errc::invalid_argument:
    case Errc::out_of_range:
    case Errc::no_space:
    case Errc::corrupt:
    case Errc::unsupported:
    case Errc::exists:
    case Errc::cancelled:
    case Errc::protocol:
    case Errc::no_memory: return false;
  }
  return false;
}

void Standby::meet(const Error& error) {
  obstacle_ = error.code() == Errc::busy ? Obstacle::user : Obstacle::storage;
  reason_ = error.message();
}

void Standby::lose(const Error& why) {
  state_ = State::lost;
  meet(why);
  next_question_ = {};
}

bool Standby::must_wait() {
  if (std::exchange(state_, State::waiting) == State::lost) return true;
  const Clock::time_point now = Clock::now();
  if (is_in_use() && now < next_question_ && is_locked(volume_, mode_)) return true;
  auto free = check_is_free(volume_, mode_);
  if (free) return false;
  if (obstacle_ == Obstacle::none && !may_pass(free.error())) return false;
  next_question_ = now + kQuestionPause;
  meet(free.error());
  return true;
}

/// Whether that is new.
bool Standby::tell(const LogFunction& log) {
  if (reason_ == told_) return false;
  const std::string line = fmt::format("standing by for {}: {}", volume_, reason_);
  log(line);
  if (told_.empty()) {
    manager_.notify_ready(line);
  } else {
    manager_.notify_status(line);
  }
  told_ = reason_;
  return true;
}

std::chrono::milliseconds Standby::pause() const {
  return is_path(volume_) ? kPause : kRemotePause;
}

Standby::End Standby::wait(const LogFunction& log) {
  bool has_told = false;
  do {
    has_told = tell(log) || has_told;
    manager_.notify_alive();
    std::string signal = std::exchange(signal_, {});
    if (signal.empty()) signal = ServerSignals::wait_without_loop(pause());
    if (signal.empty()) continue;
    manager_.notify_stopping();
    log(fmt::format("standing by no longer, because of {}", signal));
    return End::told_to_stop;
  } while (must_wait());
  // Of one that loses the same race again and again the log tells once.
  if (has_told) {
    const std::string line = fmt::format("taking over {}", volume_);
    log(line);
    manager_.notify_status(line);
  }
  return End::free;
}

}  // namespace uvdo
