// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands for served volumes share: naming the volume, and asking its server.
#pragma once

#include <string>

#include "cli/command.h"
#include "serve/control_client.h"

namespace uvdo {

struct ServedVolume {
  std::string volume;
  std::string control;  ///< socket; empty: where servers listen by default

  /// Adds VOLUME and --control.
  void add_to(Arguments& app) {
    add_volume_argument(app, volume);
    app.option("--control", control, "the control socket that uvdo serve was given");
  }
  [[nodiscard]] Result<Json> ask(Json request) const {
    return ask_volume(volume, std::move(request), control);
  }
};

}  // namespace uvdo
