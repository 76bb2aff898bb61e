// SPDX-License-Identifier: GPL-2.0-or-later
// Watches how the room for data fills: says when a mark is passed (80, 90, 95 % by default) and
// when nothing is left, and estimates from the recent rate when that will be.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "async/executor.h"
#include "base/result.h"

namespace uvdo {

/// What is seen at one look.
struct SpaceSample {
  std::uint64_t used = 0;  ///< blocks that are taken now
  std::uint64_t peak = 0;  ///< the most that were since the last look
  std::uint64_t room = 0;  ///< blocks that there are
};

/// Something that people want to know.
struct SpaceEvent {
  enum class Kind : std::uint8_t { above, below, full, not_full };
  Kind kind = Kind::above;
  unsigned percent = 0;  ///< the mark; 100 of what is full
};

/// The event's name in logs and for commands: "watermark-above", "watermark-below", "full",
/// "not-full".
[[nodiscard]] std::string_view name_of(SpaceEvent::Kind kind);

/// How fast the room fills, and over which time that was seen.
struct FillRate {
  double blocks_per_second = 0;  ///< negative if it empties
  std::chrono::seconds over{0};
};

/// Pure: whoever looks says when and what was seen. passed_ marks from below have been told as
/// reached and not yet as left; an event is told once for each time that it happens.
class SpaceWatch {
 public:
  /// The time that the rate is taken over, once that has passed: a change of the rate is all of it
  /// after that time, and the rate is nothing that long after the last write.
  static constexpr Duration kWindow = std::chrono::seconds(20);

  /// `marks`: percents, ascending.
  explicit SpaceWatch(std::vector<unsigned> marks) : marks_(std::move(marks)) {}

  /// Takes other marks. Those up to the one that is passed now count as told.
  void set_marks(std::vector<unsigned> marks);

  /// Notes a look; at most one a second counts for the rate. What has happened since the last one,
  /// in its order, also if it is over again: first what the peak has reached, each mark and then
  /// that it is full; then what has been left, by half a percent or more. After a look at which all
  /// was taken the next one tells what has been left.
  std::vector<SpaceEvent> observe(TimePoint now, const SpaceSample& seen);
  /// Nobody knows how much is used: there is no rate until that was observed for a while again.
  void forget();

  /// When it is full at the present rate; nothing if it does not fill, or if there have been less
  /// than five seconds to judge by.
  [[nodiscard]] std::optional<std::chrono::seconds> until_full() const;
  /// Zeros while there are less than five seconds to judge by.
  [[nodiscard]] FillRate fill_rate() const;
  /// The highest mark that is passed now; 0 if none is.
  [[nodiscard]] unsigned mark() const { return passed_ == 0 ? 0 : marks_[passed_ - 1]; }

 private:
  struct Sample {
    TimePoint time;
    std::uint64_t used = 0;
  };
  enum class Level : std::uint8_t { some_left, full };

  // Of the samples that are kept the oldest and the last one make the rate.
  void note(Sample seen);
  // A ring, so that watching takes no memory: the oldest first.
  static constexpr std::size_t kMostSamples = 32;
  [[nodiscard]] const Sample& sample(std::size_t i) const {
    return samples_[(first_ + i) % kMostSamples];
  }
  void drop_oldest();

  std::vector<unsigned> marks_;
  std::size_t passed_ = 0;
  // Whether "full" has been told, and not yet that it is over.
  Level level_ = Level::some_left;
  std::array<Sample, kMostSamples> samples_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  Sample last_;
  // Blocks there were at the last look.
  std::uint64_t room_ = 0;
};

/// "80,90,95": percents from 1 to 100, ascending; "" for none. invalid_argument otherwise.
Result<std::vector<unsigned>> parse_watermarks(std::string_view text);

}  // namespace uvdo
