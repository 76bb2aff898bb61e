// SPDX-License-Identifier: GPL-2.0-or-later
// A volume as people name it, and how its server is asked, if it has one.
#pragma once

#include <chrono>
#include <string>

#include "control/control_client.h"

namespace uvdo {

/// A value; nothing is opened or asked before ask().
struct ServedVolume {
  std::string volume;     ///< the path of its file or device
  std::string control{};  ///< its server's control socket; empty: where servers listen by default
  std::chrono::milliseconds patience = kAnswerPatience;  ///< how long the server may be silent

  /// not_found: nobody serves the volume; else as ask_volume().
  template <ControlMessage Request>
  [[nodiscard]] Result<typename Request::Answer> ask(const Request& request) const {
    return ask_volume(volume, request, control, patience);
  }
};

}  // namespace uvdo
