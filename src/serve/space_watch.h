// SPDX-License-Identifier: GPL-2.0-or-later
// Watches how the room for data fills: says when a mark is passed (80, 90, 95 % by default), and
// estimates from the recent rate when it will be full.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "async/executor.h"
#include "base/result.h"

namespace uvdo {

class SpaceWatch {
 public:
  /// `marks`: percents, ascending.
  explicit SpaceWatch(std::vector<unsigned> marks) : marks_(std::move(marks)) {}

  /// Takes other marks. Those up to the one that is passed now count as told.
  void set_marks(std::vector<unsigned> marks);

  struct Crossing {
    unsigned percent = 0;
    bool upward = true;
  };
  /// Notes how much is used, at most every few seconds. The marks passed since: upward when they
  /// are reached, downward when usage is half a percent below.
  std::vector<Crossing> observe(TimePoint now, std::uint64_t used_blocks,
                                std::uint64_t room_blocks);
  /// When it is full if it goes on as in the last ten minutes; nothing if it does not fill, or if
  /// there have been less than ten seconds to judge by.
  [[nodiscard]] std::optional<std::chrono::seconds> until_full() const;
  /// Blocks a second in that time; negative if it empties.
  [[nodiscard]] double fill_rate() const;
  /// The highest mark that is passed now; 0 if none is.
  [[nodiscard]] unsigned mark() const { return passed_ == 0 ? 0 : marks_[passed_ - 1]; }

 private:
  struct Sample {
    TimePoint time;
    std::uint64_t used = 0;
  };
  std::vector<unsigned> marks_;
  std::size_t passed_ = 0;
  void drop_oldest();
  // A ring, so that watching takes no memory: the oldest first.
  static constexpr std::size_t kMostSamples = 128;
  [[nodiscard]] const Sample& sample(std::size_t i) const {
    return samples_[(first_ + i) % kMostSamples];
  }
  std::array<Sample, kMostSamples> samples_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  Sample last_;
  std::uint64_t room_ = 0;
};

/// "80,90,95": percents from 1 to 100, ascending; "" for none. invalid_argument otherwise.
Result<std::vector<unsigned>> parse_watermarks(std::string_view text);

}  // namespace uvdo
