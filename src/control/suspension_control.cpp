// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/suspension_control.h"

namespace uvdo {

Task<Result<SuspendAnswer>> suspend_by_request(Volume& volume, SuspendRequest request) {
  auto done = co_await volume.suspend(request.flush ? SuspendMode::save : SuspendMode::no_save);
  if (!done) co_return std::move(done).error();
  co_return SuspendAnswer{std::string(name_of(volume.super_block().state))};
}

Task<Result<EmptyAnswer>> resume_by_request(Volume& volume) {
  auto done = co_await volume.resume();
  if (!done) co_return std::move(done).error();
  co_return EmptyAnswer();
}

Task<void> take_back_suspension(Volume& volume, LogFunction log) {
  if (!volume.is_suspended()) co_return;
  log({LogLevel::notice, "the client that asked for the suspension is gone; the volume goes on"});
  auto done = co_await volume.resume();
  if (!done) log({LogLevel::error, done.error().message()});
}

}  // namespace uvdo
