// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/disk_watch.h"

#include <fmt/core.h>

#include "base/size_text.h"
#include "device/room_gate.h"

namespace uvdo {
DiskWatch::DiskWatch(Executor& executor, BackingStore& device, LogFunction log)
    : executor_(executor), device_(device), log_(std::move(log)) {
  device_.on_failure([this](const BackingStore::Failure& failure) { failed(failure); });
}

void DiskWatch::failed(const BackingStore::Failure& failure) {
  const bool is_change = failure.op != Device::Op::read && failure.op != Device::Op::flush;
  // It is tried again; or it is a discard, which may do without.
  if (is_change && is_no_room(failure.error)) return;
  tell_of_dropped();
  if (!throttle_.admit(executor_.now())) return;
  last_error_ = errno_error(failure.error, request_text(failure.op, failure.offset, failure.length,
                                                        device_.name()))
                    .message();
  log_({LogLevel::error, fmt::format("the disk has failed: {}", last_error_)});
}

void DiskWatch::tell_of_dropped() {
  const std::uint64_t dropped = throttle_.take_dropped(executor_.now());
  if (dropped == 0) return;
  log_({LogLevel::error,
        fmt::format("the disk has failed: {} more requests to {}", dropped, device_.name())});
}

Result<void> DiskWatch::look(std::uint64_t end) {
  tell_of_dropped();
  end_of_volume_ = end;
  auto state = device_.last_look();
  if (!state) {  // it is suspended, or somebody else's, or nobody knows
    backing_.reset();
    if (state.error().code() != Errc::read_only) return {};
    if (std::exchange(told_name_, BackingState::Named::another) != BackingState::Named::itself) {
      return {};
    }
    log_({LogLevel::error, state.error().message()});
    return std::move(state).error();
  }
  backing_ = *state;
  tell_of_silence(*state);
  tell_of_fullness(*state);
  if (!state->is_file) return {};
  tell_of_name(*state);
  // Once, at the first look: later the watch over the room itself tells.
  if (!std::exchange(told_promise_, true) && state->is_promised_more_than_there_is(end)) {
    log_({LogLevel::warning,
          fmt::format("{} is on a file system with less room than it may need: {}", device_.name(),
                      promise_text(*state, end))});
  }
  if (state->size >= end || was_cut_off_) return {};
  state = device_.look();  // the other look may be older than the growth that has led to `end`
  if (!state || state->size >= end) return {};
  was_cut_off_ = true;
  return Error(Errc::corrupt,
               fmt::format("{} was cut off: it has {} bytes, and the volume takes {}",
                           device_.name(), state->size, end));
}

void DiskWatch::tell_of_silence(const BackingState& state) {
  if (std::exchange(told_silence_, state.is_silent()) == state.is_silent()) return;
  if (!state.is_silent()) {
    log_({LogLevel::notice, fmt::format("{} answers again", device_.name())});
    return;
  }
  log_({LogLevel::warning,
        fmt::format("{} has not answered for {} seconds{}{}; requests wait for it", device_.name(),
                    state.silent_for.count(), state.trouble.empty() ? "" : ": ", state.trouble)});
}

void DiskWatch::tell_of_fullness(const BackingState& state) {
  if (std::exchange(told_fullness_, state.fullness) == state.fullness) return;
  if (state.fullness.empty()) {
    log_({LogLevel::notice, fmt::format("the cluster of {} has room again", device_.name())});
    return;
  }
  log_({LogLevel::warning,
        fmt::format("the cluster of {} says: {}", device_.name(), state.fullness)});
}

void DiskWatch::tell_of_name(const BackingState& state) {
  if (state.is_removed() && !std::exchange(told_removed_, true)) {
    log_({LogLevel::error,
          fmt::format("{} has been removed: its data (inode {}) are there only as long as this "
                      "server runs; copy them before you stop it",
                      device_.name(), state.inode)});
  }
  // Each change of the name is told, also that it is right again; a removal cannot be undone.
  if (std::exchange(told_name_, state.named) == state.named || state.is_removed()) return;
  switch (state.named) {
    case BackingState::Named::unknown: return;
    case BackingState::Named::itself:
      log_({LogLevel::notice, fmt::format("the volume's file is {} again", device_.name())});
      return;
    case BackingState::Named::nothing:
    case BackingState::Named::another:
      log_({LogLevel::error,
            fmt::format("the volume's file (inode {}) is no longer {}: {}; put it back",
                        state.inode, device_.name(),
                        state.named == BackingState::Named::nothing ? "it has another name now"
                                                                    : "another one is there")});
      return;
  }
}

Result<void> DiskWatch::is_saved() const {
  auto state = device_.look();
  // Looked at anew, though it may wait for the file system: this is the last word on where the data
  // are.
  if (!state || !state->is_file) return {};  // a suspended volume was told of when it was suspended
  if (state->is_removed()) {
    return Error(Errc::not_found,
                 fmt::format("what was written went to a file that has been removed (inode {}, {} "
                             "once): it is gone with this server",
                             state->inode, device_.name()));
  }
  if (state->named == BackingState::Named::nothing ||
      state->named == BackingState::Named::another) {
    return Error(Errc::not_found,
                 fmt::format("all was written, but to the file with inode {}, which is no longer "
                             "{}; find it with find -inum {}",
                             state->inode, device_.name(), state->inode));
  }
  return {};
}

void DiskWatch::add_to(HealthFacts& facts) const {
  facts.device = device_.activity();
  facts.last_device_error = last_error_;
  facts.backing = backing_;
  facts.was_cut_off = was_cut_off_;
  facts.end_of_volume = end_of_volume_;
}

}  // namespace uvdo
