// SPDX-License-Identifier: GPL-2.0-or-later
// A progress bar on a terminal; nothing at all anywhere else.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace uvdo {

/// For commands that take long. Nothing else may be printed while a bar is shown: clear() first.
class Progress {
 public:
  /// Draws on stderr if that is a terminal.
  Progress();
  /// Removes the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows "what [#####     ] 51%  details"; at most ten times a second.
  void show(std::string_view what, std::uint64_t done, std::uint64_t total,
            std::string_view details = {});
  /// Removes the bar, so that a line can be printed.
  void clear();

 private:
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace uvdo
