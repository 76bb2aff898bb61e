// SPDX-License-Identifier: GPL-2.0-or-later
// What a served volume answers on its control socket (docs/control.md).
#pragma once

#include <functional>

#include "serve/control_server.h"
#include "volume/volume.h"

namespace uvdo {

class VolumeControl {
 public:
  /// `stop` asks the server to end; it returns at once.
  VolumeControl(Executor& executor, Volume& volume, std::function<void()> stop)
      : volume_(volume), stop_(std::move(stop)), stopped_(executor) {}

  Task<Result<ControlServer::Json>> handle(std::string command, ControlServer::Json request);
  /// Lets those know who asked to stop how the volume's stop() ended.
  void stopped(const Result<void>& result);

 private:
  Result<ControlServer::Json> set(const ControlServer::Json& request);

  Volume& volume_;
  std::function<void()> stop_;
  Event stopped_;
  Result<void> stop_result_;
};

}  // namespace uvdo
