// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/suspension_control.h"

namespace uvdo {

Task<Result<Json>> suspend_by_request(Volume& volume, Json request) {
  auto mode = SuspendMode::save;
  if (request.contains("flush")) {
    if (!request["flush"].is_boolean()) {
      co_return Error(Errc::invalid_argument, "\"flush\" is true or false");
    }
    if (!request["flush"].get<bool>()) mode = SuspendMode::no_save;
  }
  auto done = co_await volume.suspend(mode);
  if (!done) co_return std::move(done).error();
  co_return Json{{"state", name_of(volume.super_block().state)}};
}

Task<Result<Json>> resume_by_request(Volume& volume) {
  auto done = co_await volume.resume();
  if (!done) co_return std::move(done).error();
  co_return Json::object();
}

Task<void> take_back_suspension(Volume& volume, LogFunction log) {
  if (!volume.is_suspended()) co_return;
  log({LogLevel::notice, "the client that asked for the suspension is gone; the volume goes on"});
  auto done = co_await volume.resume();
  if (!done) log({LogLevel::error, done.error().message()});
}

}  // namespace uvdo
