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

namespace uvdo {
namespace {

std::string read_data(const std::string& name) {
  std::ifstream file(std::string(UVDO_SOURCE_DIR) + "/tests/data/statistics/" + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

VolumeStatistics read_message(const std::string& name) {
  auto statistics = read_statistics_message(read_data(name + ".message"));
  EXPECT_TRUE(statistics) << statistics.error().message();
  return statistics ? *statistics : VolumeStatistics();
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

/// The lines of a list by their labels.
std::map<std::string, std::string> by_label(const std::string& list) {
  std::map<std::string, std::string> lines;
  std::istringstream in(list);
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(" : ");
    if (!line.starts_with("  ") || colon == std::string::npos) continue;
    const std::string label = line.substr(0, colon);
    lines[label.substr(2, label.find_last_not_of(' ') - 1)] = line.substr(colon + 3);
  }
  return lines;
}

TEST_P(KernelStatistics, ListOfForm6SaysTheSameUnderTheSameLabels) {
  const VolumeStatistics statistics = read_message(GetParam());
  const auto list8 = by_label(statistics_list("v", statistics));
  auto list6 = by_label(statistics_list("v", statistics, VdostatsForm::v6));
  // What only VDO 6 has, and what it cuts otherwise, is tested below.
  for (const char* label : {"release version", "write policy", "maximum dedupe queries"}) {
    EXPECT_EQ(list6.erase(label), 1U) << label;
    EXPECT_FALSE(list8.contains(label));
  }
  for (const char* label : {"version", "used percent", "write amplification ratio"}) {
    EXPECT_EQ(list6.erase(label), 1U) << label;
  }
  EXPECT_EQ(list6.size(), 141U);
  for (const auto& [label, value] : list6) EXPECT_EQ(value, list8.at(label)) << label;
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

// The labels of VDO 6.2, in their order; {X} stands for each group of requests.
constexpr std::string_view kLabels6 = R"(version
release version
data blocks used
overhead blocks used
logical blocks used
physical blocks
logical blocks
1K-blocks
1K-blocks used
1K-blocks available
used percent
saving percent
block map cache size
write policy
block size
completed recovery count
read-only recovery count
operating mode
recovery progress (%)
compressed fragments written
compressed blocks written
compressed fragments in packer
slab count
slabs opened
slabs reopened
journal disk full count
journal commits requested count
journal entries batching
journal entries started
journal entries writing
journal entries written
journal entries committed
journal blocks batching
journal blocks started
journal blocks writing
journal blocks written
journal blocks committed
slab journal disk full count
slab journal flush count
slab journal blocked count
slab journal blocks written
slab journal tail busy count
slab summary blocks written
reference blocks written
block map dirty pages
block map clean pages
block map free pages
block map failed pages
block map incoming pages
block map outgoing pages
block map cache pressure
block map read count
block map write count
block map failed reads
block map failed writes
block map reclaimed
block map read outgoing
block map found in cache
block map discard required
block map wait for page
block map fetch required
block map pages loaded
block map pages saved
block map flush count
invalid advice PBN count
no space error count
read only error count
instance
512 byte emulation
current VDO IO requests in progress
maximum VDO IO requests in progress
current dedupe queries
maximum dedupe queries
dedupe advice valid
dedupe advice stale
dedupe advice timeouts
concurrent data matches
concurrent hash collisions
flush out
write amplification ratio
{bios}KVDO module bytes used
KVDO module peak bytes used
)";

/// The labels of kLabels6, a line each.
std::string labels_of_form_6() {
  std::string bios;
  for (const char* group :
       {"in", "in partial", "out", "meta", "journal", "page cache", "out completed",
        "meta completed", "journal completed", "page cache completed", "acknowledged",
        "acknowledged partial", "in progress"}) {
    for (const char* flag : {"read", "write", "discard", "flush", "fua"}) {
      bios += std::string("bios ") + group + " " + flag + "\n";
    }
  }
  std::string labels(kLabels6);
  return labels.replace(labels.find("{bios}"), 6, bios);
}

TEST(ListOfForm6, HasTheLabelsOfVdo6InTheirOrder) {
  std::istringstream lines(statistics_list("v", sample(), VdostatsForm::v6));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "v :");
  std::string labels;
  int count = 0;
  for (; std::getline(lines, line); ++count) {
    ASSERT_EQ(line.substr(0, 2), "  ");
    ASSERT_EQ(line.substr(2 + 36, 2), ": ") << line;
    const std::string label = line.substr(2, 36);
    labels += label.substr(0, label.find_last_not_of(' ') + 1) + "\n";
  }
  EXPECT_EQ(count, 147);
  EXPECT_EQ(labels, labels_of_form_6());
}

TEST(ListOfForm6, SaysWhatOnlyVdo6Said) {
  VolumeStatistics s = sample();
  s.data_blocks_used = 206;  // 306 of 1000
  s.bios_in.write = 2;
  s.bios_out.write = 3;
  const std::string list = statistics_list("v", s, VdostatsForm::v6);
  for (const char* line : {"  version                             : 31\n",
                           "  release version                     : 133524\n",
                           "  write policy                        : async\n",
                           "  used percent                        : 30\n",
                           "  maximum dedupe queries              : 0\n",
                           "  write amplification ratio           : 1.5\n"}) {
    EXPECT_THAT(list, testing::HasSubstr(line));
  }
  s.bios_in.write = 0;
  s.logical_blocks_used = 0;
  const std::string unused = statistics_list("v", s, VdostatsForm::v6);
  EXPECT_THAT(unused, testing::HasSubstr("write amplification ratio           : 0.0\n"));
  EXPECT_THAT(unused, testing::HasSubstr("saving percent                      : N/A\n"));
}

TEST(TableOfForm6, HasTheWidthsOfVdo6) {
  VolumeStatistics s = sample();
  s.data_blocks_used = 206;
  VolumeStatistics unused = sample();
  unused.data_blocks_used = unused.logical_blocks_used = 0;
  const std::vector<NamedStatistics> volumes{{"/dev/mapper/vol1", s}, {"/dev/x", unused}};
  EXPECT_EQ(statistics_table(volumes, TableUnits::kib, VdostatsForm::v6),
            "Device               1K-blocks      Used Available Use% Space saving%\n"
            "/dev/mapper/vol1          4000      1224      2776  30%           49%\n"
            "/dev/x                    4000       400      3600  10%           N/A\n");
  EXPECT_THAT(statistics_table(volumes, TableUnits::binary, VdostatsForm::v6),
              testing::StartsWith(
                  "Device                    Size      Used Available Use% Space saving%\n"));
}

TEST(StatisticsTable, WidensForLargeNumbers) {
  VolumeStatistics s = sample();
  s.physical_blocks = 4'000'000'000;
  EXPECT_EQ(statistics_table(std::vector<NamedStatistics>{{"v", s}}, TableUnits::kib),
            "Device   1k-blocks      Used   Available Use% Space saving%\n"
            "v      16000000000      1220 15999998780   0%           50%\n");
}

TEST(StatisticsMessage, IsReadThoughKeysAreMissingOrUnknown) {
  const auto some = read_statistics_message(
      "{ version : 41, physicalBlocks : 7, new : { deep : 1, }, mode : read-only, "
      "blockMap : { dirtyPages : 5, other : 2, }, last : 3, }");
  ASSERT_TRUE(some);
  EXPECT_EQ(some->version, 41U);
  EXPECT_EQ(some->physical_blocks, 7U);
  EXPECT_EQ(some->block_map.dirty_pages, 5U);
  EXPECT_EQ(some->block_map.clean_pages, 0U);
  EXPECT_EQ(some->mode, OperatingMode::read_only);
}

TEST(StatisticsMessage, WhatIsNoneIsRefused) {
  const std::string good = read_data("compressed.message");
  for (const std::string& text :
       {std::string(), std::string("{ }"), std::string("nonsense"), good.substr(0, good.size() / 2),
        good + good, std::string("{ physicalBlocks : }"), std::string("{ physicalBlocks : -1, }"),
        std::string("{ physicalBlocks : 1, mode : odd, }"),
        std::string("{ physicalBlocks : 99999999999999999999, }")}) {
    const auto read = read_statistics_message(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code(), Errc::corrupt);
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
