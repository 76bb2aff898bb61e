// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/suspension_control.h"

#include <fmt/format.h>

namespace uvdo {

using Json = ControlServer::Json;

Task<Result<Json>> suspend_by_request(Volume& volume, Json request) {
  auto mode = Volume::SuspendMode::save;
  for (const auto& [key, value] : request.items()) {
    if (key == "uvdo" || key == "command") continue;
    if (key != "flush") {
      co_return Error(Errc::invalid_argument,
                      fmt::format("\"{}\" does not belong to suspend; \"flush\" does", key));
    }
    if (!value.is_boolean()) {
      co_return Error(Errc::invalid_argument, "\"flush\" is true or false");
    }
    if (!value.get<bool>()) mode = Volume::SuspendMode::no_save;
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

}  // namespace uvdo
