// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands for served volumes share: naming the volume, and asking its server, for an
// answer that does not take for ever.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/command.h"
#include "control/control_client.h"

namespace uvdo {

/// How long a server may be silent, in seconds, as it stands on the command line.
struct AnswerPatience {
  double seconds = std::chrono::duration<double>(kAnswerPatience).count();

  /// Adds --timeout.
  void add_to(Arguments& app) {
    app.option("--timeout", seconds,
               "seconds that the server may be silent; one that works on the request is not")
        .check([](const std::string& text) {
          char* end = nullptr;
          const double value = std::strtod(text.c_str(), &end);
          const bool is_number = !text.empty() && *end == '\0' && value >= 0.1 && value <= 86'400;
          return is_number ? std::string() : "it is 0.1 to 86400 seconds";
        })
        .show_default();
  }
  [[nodiscard]] std::chrono::milliseconds limit() const {
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  }
};

struct ServedVolume {
  std::string volume;
  std::string control{};  ///< socket; empty: where servers listen by default
  AnswerPatience patience{};

  /// Adds VOLUME, --control and --timeout.
  void add_to(Arguments& app) {
    add_volume_argument(app, volume);
    add_server_to(app);
  }
  /// For commands that name their volumes otherwise.
  void add_server_to(Arguments& app) {
    app.option("--control", control, "the control socket that uvdo serve was given");
    patience.add_to(app);
  }
  template <ControlMessage Request>
  [[nodiscard]] Result<typename Request::Answer> ask(const Request& request) const {
    return ask_volume(volume, request, control, patience.limit());
  }
};

}  // namespace uvdo
