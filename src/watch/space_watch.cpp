// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/space_watch.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/core.h>

namespace uvdo {
namespace {

// A little less than the second between two looks, which come late now and then.
constexpr Duration kSampleInterval = std::chrono::milliseconds(900);
constexpr Duration kLeastHistory = std::chrono::seconds(5);
constexpr double kLongest = 100.0 * 365 * 86400;  // nobody needs to know more

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Whole percents of `used` blocks, without rounding up: 80 % is reached when it is.
bool reaches(std::uint64_t used, std::uint64_t room, unsigned percent) {
  return room > 0 && used * 100 >= room * percent;
}
/// Half a percent of the room below: a little less is no news.
bool has_left(std::uint64_t used, std::uint64_t room, unsigned percent) {
  return used * 200 < room * (percent * 2 - 1);
}

}  // namespace

void SpaceWatch::set_marks(std::vector<unsigned> marks) {
  // Before marks_ is replaced: mark() is that of the old ones.
  const auto told = std::ranges::upper_bound(marks, mark());
  passed_ = static_cast<std::size_t>(told - marks.begin());
  marks_ = std::move(marks);
}

std::string_view name_of(SpaceEvent::Kind kind) {
  switch (kind) {
    case SpaceEvent::Kind::above: return "watermark-above";
    case SpaceEvent::Kind::below: return "watermark-below";
    case SpaceEvent::Kind::full: return "full";
    case SpaceEvent::Kind::not_full: return "not-full";
  }
  return "unknown";
}

std::vector<SpaceEvent> SpaceWatch::observe(TimePoint now, const SpaceSample& seen) {
  room_ = seen.room;
  note({now, seen.used});
  using Kind = SpaceEvent::Kind;
  std::vector<SpaceEvent> events;
  const std::uint64_t peak = std::max(seen.used, seen.peak);
  while (passed_ < marks_.size() && reaches(peak, seen.room, marks_[passed_])) {
    events.push_back({Kind::above, marks_[passed_++]});
  }
  if (seen.room > 0 && peak >= seen.room) {
    if (level_ == Level::some_left) events.push_back({Kind::full, 100});
    level_ = Level::full;
    return events;
  }
  // "full" is over before the marks below it are.
  if (level_ == Level::full && has_left(seen.used, seen.room, 100)) {
    level_ = Level::some_left;
    events.push_back({Kind::not_full, 100});
  }
  while (passed_ > 0 && has_left(seen.used, seen.room, marks_[passed_ - 1])) {
    events.push_back({Kind::below, marks_[--passed_]});
  }
  return events;
}

void SpaceWatch::note(Sample seen) {
  last_ = seen;
  if (count_ == 0 || seen.time - sample(count_ - 1).time >= kSampleInterval) {
    if (count_ == kMostSamples) drop_oldest();
    samples_[(first_ + count_++) % kMostSamples] = seen;
  }
  // The oldest sample kept is the last one that is kWindow old or more, so that the rate covers the
  // whole window.
  while (count_ > 1 && seen.time - sample(1).time >= kWindow) drop_oldest();
}

void SpaceWatch::forget() {
  count_ = 0;
  last_ = {};
}

void SpaceWatch::drop_oldest() {
  first_ = (first_ + 1) % kMostSamples;
  --count_;
}

FillRate SpaceWatch::fill_rate() const {
  if (count_ == 0 || last_.time - sample(0).time < kLeastHistory) return {};
  const Duration passed = last_.time - sample(0).time;
  const double blocks = static_cast<double>(last_.used) - static_cast<double>(sample(0).used);
  return {blocks / seconds_of(passed), std::chrono::round<std::chrono::seconds>(passed)};
}

std::optional<std::chrono::seconds> SpaceWatch::until_full() const {
  if (last_.used >= room_) return std::nullopt;
  const double rate = fill_rate().blocks_per_second;
  if (rate <= 0) return std::nullopt;
  const double seconds = static_cast<double>(room_ - last_.used) / rate;
  if (seconds > kLongest) return std::nullopt;
  return std::chrono::seconds(static_cast<std::int64_t>(seconds));
}

Result<std::vector<unsigned>> parse_watermarks(std::string_view text) {
  std::vector<unsigned> marks;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    unsigned mark = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), mark);
    if (word.empty() || error != std::errc() || end != word.data() + word.size() || mark < 1 ||
        mark > 100 || (!marks.empty() && mark <= marks.back()) ||
        (comma != std::string_view::npos && comma + 1 == rest.size())) {
      return Error(Errc::invalid_argument,
                   fmt::format("\"{}\" is no list of percents from 1 to 100 in ascending order, "
                               "such as 80,90,95",
                               text));
    }
    marks.push_back(mark);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return marks;
}

}  // namespace uvdo
