// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/space_watch.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/core.h>

namespace uvdo {
namespace {

constexpr Duration kWindow = std::chrono::minutes(10);
constexpr Duration kSampleInterval = std::chrono::seconds(5);
constexpr Duration kLeastHistory = std::chrono::seconds(10);
constexpr double kLongest = 100.0 * 365 * 86400;  // nobody needs to know more

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void SpaceWatch::set_marks(std::vector<unsigned> marks) {
  const auto told = std::ranges::upper_bound(marks, mark());
  passed_ = static_cast<std::size_t>(told - marks.begin());
  marks_ = std::move(marks);
}

std::vector<SpaceWatch::Crossing> SpaceWatch::observe(TimePoint now, std::uint64_t used,
                                                      std::uint64_t room) {
  room_ = room;
  last_ = {now, used};
  if (count_ == 0 || now - sample(count_ - 1).time >= kSampleInterval) {
    if (count_ == kMostSamples) drop_oldest();
    samples_[(first_ + count_++) % kMostSamples] = last_;
  }
  while (count_ > 1 && now - sample(1).time >= kWindow) drop_oldest();
  std::vector<Crossing> crossings;
  // Whole percents of `used` blocks, without rounding up: 80 % is reached when it is.
  while (passed_ < marks_.size() && used * 100 >= room * marks_[passed_]) {
    crossings.push_back({marks_[passed_++], true});
  }
  while (passed_ > 0 && used * 200 < room * (marks_[passed_ - 1] * 2 - 1)) {
    crossings.push_back({marks_[--passed_], false});
  }
  return crossings;
}

void SpaceWatch::drop_oldest() {
  first_ = (first_ + 1) % kMostSamples;
  --count_;
}

double SpaceWatch::fill_rate() const {
  if (count_ == 0 || last_.time - sample(0).time < kLeastHistory) return 0;
  const double blocks = static_cast<double>(last_.used) - static_cast<double>(sample(0).used);
  return blocks / seconds_of(last_.time - sample(0).time);
}

std::optional<std::chrono::seconds> SpaceWatch::until_full() const {
  if (last_.used >= room_) return std::nullopt;
  const double rate = fill_rate();
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
