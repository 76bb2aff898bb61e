// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps lines that others cause, strangers or a disk, from filling the log: some of them in a
// while, and how many more there were.
#pragma once

#include <string>
#include <utility>

#include "async/executor.h"

namespace uvdo {

/// `lines` in each while of kWhile, which begins with the first line; the number of those left out
/// is told with the next line that passes after it.
class LogThrottle {
 public:
  /// Enough to see what happens, too few to fill a disk: 10 lines in 10 seconds.
  static constexpr unsigned kLines = 10;
  static constexpr Duration kWhile = std::chrono::seconds(10);

  explicit LogThrottle(unsigned lines = kLines) : most_(lines) {}

  /// Whether one more line may be logged.
  [[nodiscard]] bool admit(TimePoint now) {
    if (is_over(now)) {
      begin_ = now;
      lines_ = 0;
    }
    if (lines_ == most_) {
      ++dropped_;
      return false;
    }
    ++lines_;
    return true;
  }
  /// How many were not, if they are to be told now; they count no more then.
  [[nodiscard]] std::uint64_t take_dropped(TimePoint now) {
    return is_over(now) ? std::exchange(dropped_, 0) : 0;
  }
  /// The line as it is to be logged, empty if it is one too many.
  [[nodiscard]] std::string pass(std::string line, TimePoint now) {
    if (!admit(now)) return {};
    if (dropped_ > 0) line += " (and " + std::to_string(dropped_) + " more lines like this)";
    dropped_ = 0;
    return line;
  }

 private:
  [[nodiscard]] bool is_over(TimePoint now) const {
    return now - begin_ >= kWhile || begin_ == TimePoint{};
  }
  unsigned most_;
  TimePoint begin_{};
  unsigned lines_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace uvdo
