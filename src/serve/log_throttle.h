// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps lines that strangers cause from filling the log: some of them in a while, and how many more
// there were.
#pragma once

#include <string>

#include "async/executor.h"

namespace uvdo {

class LogThrottle {
 public:
  static constexpr unsigned kLines = 10;
  static constexpr Duration kWhile = std::chrono::seconds(10);

  /// The line as it is to be logged, empty if it is one too many.
  [[nodiscard]] std::string pass(std::string line, TimePoint now) {
    if (now - begin_ >= kWhile || begin_ == TimePoint{}) {
      begin_ = now;
      lines_ = 0;
    }
    if (lines_ == kLines) {
      ++dropped_;
      return {};
    }
    ++lines_;
    if (dropped_ > 0) line += " (and " + std::to_string(dropped_) + " more lines like this)";
    dropped_ = 0;
    return line;
  }

 private:
  TimePoint begin_{};
  unsigned lines_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace uvdo
