// SPDX-License-Identifier: GPL-2.0-or-later
// The text is held against the rules of the format: those that promtool checks, and that scrapers
// rely on.
#include "watch/metrics_text.h"

#include <array>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <regex.h>

namespace uvdo {
namespace {

/// A POSIX extended regular expression. (GCC 12 cannot compile std::regex with AddressSanitizer
/// without false warnings.)
class Pattern {
 public:
  explicit Pattern(const char* text) { EXPECT_EQ(regcomp(&compiled_, text, REG_EXTENDED), 0); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  ~Pattern() { regfree(&compiled_); }
  /// The part of `line` that matches, and its groups; empty if none does.
  [[nodiscard]] std::vector<std::string> find(const std::string& line) const {
    std::array<regmatch_t, 6> at{};
    std::vector<std::string> groups;
    if (regexec(&compiled_, line.c_str(), at.size(), at.data(), 0) != 0) return groups;
    for (const regmatch_t& group : at) {
      const auto begin = static_cast<std::size_t>(std::max(group.rm_so, 0));
      const auto end = static_cast<std::size_t>(std::max(group.rm_eo, 0));
      groups.push_back(line.substr(begin, end - begin));
    }
    return groups;
  }

 private:
  regex_t compiled_{};
};

/// Reads the format strictly. Anything against its rules fails the test.
class StrictReader {
 public:
  explicit StrictReader(const std::string& text) {
    EXPECT_TRUE(text.ends_with('\n'));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) read(line);
    for (const auto& [name, type] : types_) {
      EXPECT_TRUE(sampled_.contains(name)) << name << " has no sample";
      if (type == "histogram") check_histogram(name);
    }
  }
  [[nodiscard]] double value(const std::string& series) const {
    const auto found = samples_.find(series);
    EXPECT_NE(found, samples_.end()) << series;
    return found == samples_.end() ? 0 : found->second;
  }
  [[nodiscard]] std::size_t families() const { return types_.size(); }

 private:
  void read(const std::string& line) {
    static const Pattern kHelp("^# HELP ([a-z_][a-z0-9_]*) [A-Z].*[.]$");
    static const Pattern kType("^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge|histogram)$");
    static const Pattern kSample(
        R"re(^([a-z_][a-z0-9_]*)(\{([a-z_]+="([^"\]|\\[\"n])*",?)+\}) ([^ ]+)$)re");
    if (const auto help = kHelp.find(line); !help.empty()) {
      current_ = help[1];
      EXPECT_FALSE(types_.contains(current_)) << current_ << " comes twice";
      return;
    }
    if (const auto type = kType.find(line); !type.empty()) {
      EXPECT_EQ(type[1], current_) << "TYPE follows its HELP";
      types_[current_] = type[2];
      const bool total = current_.ends_with("_total");
      EXPECT_EQ(total, type[2] == "counter") << current_;
      return;
    }
    const auto sample = kSample.find(line);
    ASSERT_FALSE(sample.empty()) << line;
    std::string family = sample[1];
    if (types_[current_] == "histogram") {
      for (const char* suffix : {"_bucket", "_sum", "_count"}) {
        if (family == current_ + suffix) family = current_;
      }
    }
    EXPECT_EQ(family, current_) << "samples follow their HELP and TYPE";
    sampled_.insert(family);
    const std::string series = sample[1] + sample[2];
    EXPECT_FALSE(samples_.contains(series)) << series << " comes twice";
    samples_[series] = sample[5] == "inf" || sample[5] == "+Inf" ? 1e300 : std::stod(sample[5]);
    order_.push_back(series);
  }
  void check_histogram(const std::string& name) const {
    double last = 0;
    std::string last_labels;
    static const Pattern kLe(",?le=\"[^\"]*\"");
    for (const std::string& series : order_) {
      if (!series.starts_with(name + "_bucket")) continue;
      std::string labels = series.substr(name.size() + 7);
      const auto le = kLe.find(labels);
      ASSERT_FALSE(le.empty()) << series;
      labels.erase(labels.find(le[0]), le[0].size());
      if (labels != last_labels) last = 0;
      last_labels = labels;
      EXPECT_GE(samples_.at(series), last) << series << ": buckets add up";
      last = samples_.at(series);
      if (series.find("+Inf") == std::string::npos) continue;
      EXPECT_EQ(last, value(name + "_count" + labels));
      EXPECT_GE(value(name + "_sum" + labels), 0);
    }
  }
  std::string current_;
  std::map<std::string, std::string> types_;
  std::set<std::string> sampled_;
  std::map<std::string, double> samples_;
  std::vector<std::string> order_;
};

MetricsSource source() {
  MetricsSource made;
  made.volume = "v";
  made.uuid = "u";
  made.version = "1.2.3";
  made.statistics.physical_blocks = 1000;
  made.statistics.extra.fixed_overhead_blocks = 100;
  made.statistics.overhead_blocks_used = 110;
  made.statistics.data_blocks_used = 90;
  RequestActivity& reads = made.activity.requests[0];
  reads.latencies.add(std::chrono::microseconds(30), 7);
  reads.latencies.add(std::chrono::seconds(60), 3);
  reads.total_ns = 180'000'210'000;
  return made;
}

TEST(MetricsText, WhatIsNotKnownDuringARecoveryIsLeftOut) {
  MetricsSource recovering = source();
  recovering.statistics.in_recovery_mode = true;
  const std::string text = metrics_text(recovering);
  const StrictReader metrics(text);
  for (const char* name : {"logical_used", "data_used", "overhead", "room_used", "saved"}) {
    EXPECT_EQ(text.find(std::string("uvdo_") + name + "_bytes"), std::string::npos) << name;
  }
  EXPECT_EQ(text.find("uvdo_full_in_seconds"), std::string::npos);
  EXPECT_EQ(metrics.value("uvdo_room_bytes{volume=\"v\",uuid=\"u\"}"), 900 * 4096);
  EXPECT_EQ(metrics.value("uvdo_recovering{volume=\"v\",uuid=\"u\"}"), 1);
}

TEST(MetricsText, KeepsTheRulesOfTheFormat) {
  const StrictReader metrics(metrics_text(source()));
  EXPECT_GT(metrics.families(), 45U);
  EXPECT_EQ(metrics.value("uvdo_room_bytes{volume=\"v\",uuid=\"u\"}"), 900 * 4096);
  EXPECT_EQ(metrics.value("uvdo_room_used_bytes{volume=\"v\",uuid=\"u\"}"), 100 * 4096);
  EXPECT_EQ(metrics.value(
                "uvdo_request_duration_seconds_bucket{volume=\"v\",uuid=\"u\",operation=\"read\","
                "le=\"5e-05\"}"),
            7);
  EXPECT_EQ(metrics.value(
                "uvdo_request_duration_seconds_bucket{volume=\"v\",uuid=\"u\",operation=\"read\","
                "le=\"10\"}"),
            7);
  EXPECT_EQ(metrics.value(
                "uvdo_request_duration_seconds_count{volume=\"v\",uuid=\"u\",operation=\"read\"}"),
            10);
}

TEST(MetricsText, WhatIsNotKnownIsLeftOut) {
  MetricsSource some = source();
  EXPECT_THAT(metrics_text(some), ::testing::Not(::testing::HasSubstr("by=\"zeros\"")));
  some.statistics.savings.zero_blocks = 5;
  EXPECT_EQ(StrictReader(metrics_text(some))
                .value("uvdo_saved_bytes{volume=\"v\",uuid=\"u\",by=\"zeros\"}"),
            5 * 4096);
  EXPECT_THAT(metrics_text(some),
              ::testing::HasSubstr("uvdo_full_in_seconds{volume=\"v\",uuid=\"u\"} +Inf"));
  some.activity.until_full = std::chrono::seconds(5);
  EXPECT_EQ(StrictReader(metrics_text(some)).value("uvdo_full_in_seconds{volume=\"v\",uuid=\"u\"}"),
            5);
}

TEST(MetricsText, TellsWhoAndInWhatState) {
  MetricsSource some = source();
  const auto value = [&](const char* family) {
    return StrictReader(metrics_text(some))
        .value(std::string("uvdo_") + family + "{volume=\"v\",uuid=\"u\"}");
  };
  EXPECT_THAT(metrics_text(some), ::testing::HasSubstr("version=\"1.2.3\"} 1\n"));
  EXPECT_EQ(value("suspended"), 0);
  EXPECT_EQ(value("read_only"), 0);
  some.statistics.extra.suspended = true;
  EXPECT_EQ(value("suspended"), 1);
  some.statistics.mode = OperatingMode::read_only;
  EXPECT_EQ(value("read_only"), 1);
  EXPECT_EQ(value("recovering"), 0);
  some.statistics.in_recovery_mode = true;
  EXPECT_EQ(value("recovering"), 1);
  some.activity.fill_seconds = 17;
  EXPECT_EQ(value("fill_rate_window_seconds"), 17);
}

TEST(MetricsText, OddNamesAreEscaped) {
  MetricsSource odd = source();
  odd.volume = "a\"b\\c\nd";
  const StrictReader metrics(metrics_text(odd));
  EXPECT_EQ(metrics.value("uvdo_read_only{volume=\"a\\\"b\\\\c\\nd\",uuid=\"u\"}"), 0);
}

}  // namespace
}  // namespace uvdo
