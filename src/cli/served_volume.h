// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands for served volumes share on their command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/command.h"
#include "manage/served_volume.h"

namespace uvdo {

/// The options VOLUME, --control and --timeout.
class ServedVolumeOptions {
 public:
  /// Adds all three.
  void add_to(Arguments& app) {
    add_volume_argument(app, volume);
    add_server_to(app);
  }
  /// For commands that name their volumes otherwise.
  void add_server_to(Arguments& app) {
    app.option("--control", control, "the control socket that uvdo serve was given");
    app.option("--timeout", seconds_,
               "seconds that the server may be silent; one that works on the request is not")
        .check([](const std::string& text) {
          char* end = nullptr;
          const double value = std::strtod(text.c_str(), &end);
          const bool is_number = !text.empty() && *end == '\0' && value >= 0.1 && value <= 86'400;
          return is_number ? std::string() : "it is 0.1 to 86400 seconds";
        })
        .show_default();
  }
  /// What was given.
  [[nodiscard]] ServedVolume given() const {
    const std::chrono::duration<double> patience(seconds_);
    return {volume, control, std::chrono::duration_cast<std::chrono::milliseconds>(patience)};
  }
  template <ControlMessage Request>
  [[nodiscard]] Result<typename Request::Answer> ask(const Request& request) const {
    return given().ask(request);
  }

  /// Set when the command line has been parsed.
  std::string volume;
  std::string control;

 private:
  double seconds_ = std::chrono::duration<double>(kAnswerPatience).count();
};

}  // namespace uvdo
