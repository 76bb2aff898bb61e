// SPDX-License-Identifier: GPL-2.0-or-later
// The texts against what the kernel and its vdostats printed for the same volumes
// (tests/data/statistics: the `stats` message, and `vdostats --verbose` of the same moment).
#include "statistics/statistics_text.h"

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "statistics/statistics_fields.h"

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

/// The lines of a list; those of two figures, which vdostats 8.3.0 cuts to whole numbers, apart.
struct List {
  explicit List(const std::string& text) {
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      const bool is_cut = line.starts_with("  used percent ") || line.starts_with("  write amp");
      if (is_cut) cut.push_back(std::stod(line.substr(line.rfind(' '))));
      others += (is_cut ? line.substr(0, line.rfind(' ')) : line) + "\n";
    }
  }
  std::string others;
  std::vector<double> cut;
};

TEST_P(KernelStatistics, ListIsThatOfVdostats) {
  const std::string text = read_data(std::string(GetParam()) + ".list");
  const VolumeStatistics statistics = read_message(GetParam());
  const List expected(text);
  const List list(statistics_list(text.substr(0, text.find(" :")), statistics));
  EXPECT_EQ(list.others, expected.others);
  ASSERT_EQ(list.cut.size(), 2U);
  EXPECT_EQ(expected.cut[0], std::floor(100.0 *
                                        static_cast<double>(statistics.data_blocks_used +
                                                            statistics.overhead_blocks_used) /
                                        static_cast<double>(statistics.physical_blocks)));
  EXPECT_THAT(list.cut[0] - expected.cut[0], testing::AnyOf(0, 1));
  EXPECT_EQ(std::floor(list.cut[1]), expected.cut[1]);
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

/// What the list says under a label.
std::string listed(const VolumeStatistics& s, const std::string& label) {
  std::istringstream lines(statistics_list("v", s));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  " + label + " ")) return line.substr(line.rfind(" : ") + 3);
  }
  return "no such line";
}

struct Derived {
  const char* what;
  const char* label;
  const char* value;
  void (*change)(VolumeStatistics& s);
};

class DerivedFigures : public testing::TestWithParam<Derived> {};

TEST_P(DerivedFigures, AreRightAtTheirEnds) {
  VolumeStatistics s = sample();
  GetParam().change(s);
  EXPECT_EQ(listed(s, GetParam().label), GetParam().value) << GetParam().what;
}

using S = VolumeStatistics;
INSTANTIATE_TEST_SUITE_P(
    Ends, DerivedFigures,
    testing::Values(
        Derived{"nothing", "used percent", "0", [](S& s) { s = {}; }},
        Derived{"some", "used percent", "31", [](S&) {}},
        Derived{"nearly a half more", "used percent", "30", [](S& s) { s.data_blocks_used = 204; }},
        Derived{"full", "used percent", "100", [](S& s) { s.data_blocks_used = 900; }},
        Derived{"counted twice", "1K-blocks available", "0",
                [](S& s) { s.data_blocks_used = 901; }},
        Derived{"full", "1K-blocks available", "0", [](S& s) { s.data_blocks_used = 900; }},
        Derived{"nothing", "1K-blocks available", "0", [](S& s) { s = {}; }},
        Derived{"some", "1K-blocks used", "1220", [](S&) {}},
        Derived{"nothing", "saving percent", "0", [](S& s) { s = {}; }},
        Derived{"all", "saving percent", "100", [](S& s) { s.data_blocks_used = 0; }},
        Derived{"nearly all", "saving percent", "99", [](S& s) { s.data_blocks_used = 1; }},
        Derived{"none", "saving percent", "0", [](S& s) { s.data_blocks_used = 410; }},
        Derived{"less than none", "saving percent", "N/A", [](S& s) { s.data_blocks_used = 411; }},
        Derived{"nobody wrote", "write amplification ratio", "0.00",
                [](S& s) { s.bios_meta.write = 3; }},
        Derived{"less than one", "write amplification ratio", "0.54",
                [](S& s) {
                  s.bios_in.write = 2161;
                  s.bios_out.write = 762;
                  s.bios_meta.write = 400;
                }},
        Derived{"more than one", "write amplification ratio", "1.01",
                [](S& s) {
                  s.bios_in.write = 7171024;
                  s.bios_out.write = 7171024;
                  s.bios_meta.write = 67239;
                }},
        Derived{"under way", "journal blocks batching", "3",
                [](S& s) {
                  s.journal.blocks = {10, 7, 5};
                }},
        Derived{"under way", "journal blocks writing", "2",
                [](S& s) {
                  s.journal.blocks = {10, 7, 5};
                }},
        Derived{"never less than none", "journal blocks batching", "0",
                [](S& s) {
                  s.journal.blocks = {10, 46, 46};
                }},
        Derived{"never less than none", "journal entries writing", "0",
                [](S& s) {
                  s.journal.entries = {10, 7, 8};
                }},
        Derived{"not recovering", "recovery progress (%)", "N/A", [](S&) {}},
        Derived{"recovering", "recovery progress (%)", "0",
                [](S& s) {
                  s.mode = OperatingMode::recovering;
                  s.recovery_percentage = 0;
                }},
        Derived{"recovering", "used percent", "N/A",
                [](S& s) { s.mode = OperatingMode::recovering; }},
        Derived{"recovering", "logical blocks used", "N/A",
                [](S& s) { s.mode = OperatingMode::recovering; }},
        Derived{"read-only", "saving percent", "N/A",
                [](S& s) { s.mode = OperatingMode::read_only; }},
        Derived{"read-only", "logical blocks used", "410",
                [](S& s) { s.mode = OperatingMode::read_only; }},
        Derived{"sectors", "512 byte emulation", "on", [](S& s) { s.logical_block_size = 512; }},
        Derived{"blocks", "512 byte emulation", "off", [](S&) {}}));

TEST(StatisticsTable, AgreesWithTheListAtEveryFilling) {
  VolumeStatistics s = sample();
  for (s.data_blocks_used = 0; s.data_blocks_used <= 900; ++s.data_blocks_used) {
    const std::string table =
        statistics_table(std::vector<NamedStatistics>{{"v", s}}, TableUnits::kib);
    EXPECT_THAT(table, testing::HasSubstr(" " + listed(s, "used percent") + "% "));
    const std::string saving = listed(s, "saving percent");
    EXPECT_THAT(table, testing::EndsWith(" " + saving + (saving == "N/A" ? "\n" : "%\n")));
  }
}

TEST(Bios, DifferencesOfThemNeverWrap) {
  const BioCounts came{5, 4, 3, 2, 1, 0};
  const BioCounts went{1, 4, 9, 2, 0, 7};
  EXPECT_EQ(difference(came, went), (BioCounts{4, 0, 0, 0, 1, 0}));
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
