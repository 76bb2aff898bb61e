// SPDX-License-Identifier: GPL-2.0-or-later
// The texts against what the kernel and its vdostats printed for the same volumes
// (tests/data/statistics: the `stats` message, and `vdostats --verbose` of the same moment).
#include "volume/statistics_text.h"

#include <fstream>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "volume/statistics_fields.h"

namespace uvdo {
namespace {

std::string read_data(const std::string& name) {
  std::ifstream file(std::string(UVDO_SOURCE_DIR) + "/tests/data/statistics/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Reads a `stats` message into the fields that its keys name.
class MessageReader {
 public:
  explicit MessageReader(const std::string& text) {
    std::istringstream words(text);
    std::string word;
    std::vector<std::string> path;
    std::string key;
    while (words >> word) {
      if (word == "{") {
        path.push_back(key);
      } else if (word == "}" || word == "},") {
        path.pop_back();
      } else if (word != ":" && word.back() == ',') {
        values_[join(path) + key] = word.substr(0, word.size() - 1);
      } else if (word != ":") {
        key = word;
      }
    }
  }
  void value(const char* key, std::uint64_t& field) { field = std::stoull(take(key)); }
  void value(const char* key, bool& field) { field = take(key) != "0"; }
  void value(const char* key, OperatingMode& field) {
    const std::string text = take(key);
    field = text == "normal"      ? OperatingMode::normal
            : text == "read-only" ? OperatingMode::read_only
                                  : OperatingMode::recovering;
  }
  template <class F>
  void group(const char* key, F&& f) {
    const std::string outer = prefix_;
    prefix_ += std::string(key) + ".";
    f();
    prefix_ = outer;
  }
  /// Keys of the message that no field took.
  [[nodiscard]] std::size_t left() const { return values_.size(); }

 private:
  static std::string join(const std::vector<std::string>& path) {
    std::string text;
    for (const std::string& part : path) text += part.empty() ? "" : part + ".";
    return text;
  }
  std::string take(const char* key) {
    const auto found = values_.find(prefix_ + key);
    EXPECT_NE(found, values_.end()) << prefix_ << key;
    if (found == values_.end()) return "0";
    std::string value = found->second;
    values_.erase(found);
    return value;
  }
  std::map<std::string, std::string> values_;
  std::string prefix_;
};

VolumeStatistics read_message(const std::string& name) {
  VolumeStatistics statistics;
  MessageReader reader(read_data(name + ".message"));
  visit_kernel_statistics(statistics, reader);
  EXPECT_EQ(reader.left(), 0U) << "keys without a field";
  return statistics;
}

class KernelStatistics : public testing::TestWithParam<const char*> {};

TEST_P(KernelStatistics, MessageComesOutAsItWentIn) {
  EXPECT_EQ(statistics_message(read_message(GetParam())) + "\n",
            read_data(std::string(GetParam()) + ".message"));
}

TEST_P(KernelStatistics, ListIsThatOfVdostats) {
  const std::string expected = read_data(std::string(GetParam()) + ".list");
  EXPECT_EQ(statistics_list(expected.substr(0, expected.find(" :")), read_message(GetParam())),
            expected);
}

INSTANTIATE_TEST_SUITE_P(Volumes, KernelStatistics,
                         testing::Values("compressed", "dirty-wrap", "readonly"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::erase(name, '-');
                           return name;
                         });

VolumeStatistics sample() {
  VolumeStatistics s;
  s.physical_blocks = 1000;
  s.logical_blocks = 4000;
  s.overhead_blocks_used = 100;
  s.data_blocks_used = 205;
  s.logical_blocks_used = 410;
  return s;
}

TEST(StatisticsTable, HasTheColumnsOfVdostats) {
  EXPECT_EQ(statistics_table(std::vector<NamedStatistics>{{"/dev/x", sample()}}, TableUnits::kib),
            "Device 1k-blocks      Used Available Use% Space saving%\n"
            "/dev/x      4000      1220      2780  31%           50%\n");
}

TEST(StatisticsTable, WidensForLongNames) {
  const std::vector<NamedStatistics> volumes{{"a", sample()}, {"a-long-name", sample()}};
  EXPECT_EQ(statistics_table(volumes, TableUnits::binary),
            "Device           Size      Used Available Use% Space saving%\n"
            "a                3.9M      1.2M      2.7M  31%           50%\n"
            "a-long-name      3.9M      1.2M      2.7M  31%           50%\n");
  EXPECT_THAT(statistics_table(volumes, TableUnits::si), testing::HasSubstr(" 4.1M "));
}

TEST(StatisticsTable, SaysNothingThatIsNotKnown) {
  VolumeStatistics s = sample();
  s.mode = OperatingMode::recovering;
  s.in_recovery_mode = true;
  EXPECT_EQ(statistics_table(std::vector<NamedStatistics>{{"v", s}}, TableUnits::kib),
            "Device 1k-blocks      Used Available Use% Space saving%\n"
            "v           4000       N/A       N/A  N/A           N/A\n");
  s = sample();
  s.logical_blocks_used = 0;
  EXPECT_THAT(statistics_table(std::vector<NamedStatistics>{{"v", s}}, TableUnits::kib),
              testing::HasSubstr(" 0%\n"));
  s.logical_blocks_used = 10;
  EXPECT_THAT(statistics_table(std::vector<NamedStatistics>{{"v", s}}, TableUnits::kib),
              testing::HasSubstr(" N/A\n"));
}

TEST(StatisticsList, HidesCountsWhileRecovering) {
  VolumeStatistics s = sample();
  s.mode = OperatingMode::recovering;
  s.in_recovery_mode = true;
  s.recovery_percentage = 40;
  const std::string list = statistics_list("v", s);
  EXPECT_THAT(list, testing::HasSubstr("overhead blocks used                  : N/A\n"));
  EXPECT_THAT(list, testing::HasSubstr("recovery progress (%)                 : 40\n"));
}

TEST(Savings, AreToldInWords) {
  VolumeStatistics s = sample();
  s.savings = {3590, 10, 150, 45, 90};
  const std::string text = savings_text(s);
  EXPECT_THAT(text, testing::HasSubstr("thin"));
  EXPECT_THAT(text, testing::HasSubstr("14.0 MiB   89.8%"));
  EXPECT_THAT(text, testing::HasSubstr("Written data: 1.6 MiB in 820 KiB on disk, 50% saved.\n"));
  s.savings.zero_blocks.reset();
  EXPECT_THAT(savings_text(s), testing::HasSubstr("not known"));
  s.extra.running = true;
  EXPECT_THAT(savings_text(s), testing::HasSubstr("being counted"));
}

}  // namespace
}  // namespace uvdo
