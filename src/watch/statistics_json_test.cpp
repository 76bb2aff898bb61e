// SPDX-License-Identifier: GPL-2.0-or-later
// JSON statistics: the kernel's keys, and nothing lost on the way there and back.
#include "watch/statistics_json.h"

#include <gtest/gtest.h>

#include "statistics/statistics_text.h"

namespace uvdo {
namespace {

/// Gives each number another value.
struct Filler {
  std::uint64_t next = 1;
  void value(const char*, std::uint64_t& field) { field = next++; }
  void value(const char*, std::optional<std::uint64_t>& field) { field = next++; }
  void value(const char*, bool& field) { field = true; }
  void value(const char*, std::string& field) { field = "online"; }
  void value(const char*, OperatingMode& field) { field = OperatingMode::recovering; }
  template <class F>
  void group(const char*, F&& f) {
    f();
  }
};

TEST(StatisticsJson, KeepsEveryField) {
  VolumeStatistics statistics;
  Filler filler;
  VolumeStatistics::visit_fields(statistics, filler);
  ASSERT_GT(filler.next, 140U);
  const auto json = to_json(statistics);
  VolumeStatistics back;
  ASSERT_FALSE(read_fields(*parse_json(json_text(json)), back));
  EXPECT_EQ(to_json(back), json);
  EXPECT_EQ(statistics_message(back), statistics_message(statistics));
  EXPECT_EQ(json["journal"]["entries"]["started"], statistics.journal.entries.started);
  EXPECT_EQ(json["mode"], "recovering");
}

TEST(StatisticsJson, UnknownSavingsAreNull) {
  const auto json = to_json(VolumeStatistics{});
  EXPECT_TRUE(json["savings"]["zeroBlocks"].is_null());
  VolumeStatistics back;
  back.savings.zero_blocks = 3;
  EXPECT_FALSE(read_fields(json, back));
  EXPECT_FALSE(back.savings.zero_blocks.has_value());
}

TEST(StatisticsJson, WrongTypesAreErrors) {
  for (const char* text :
       {"[]", "3", R"({"version": "x"})", R"({"mode": "odd"})", R"({"uvdo": {"running": 1}})",
        R"({"version": -1})", R"({"journal": 1})"}) {
    VolumeStatistics statistics;
    EXPECT_TRUE(read_fields(*parse_json(text), statistics)) << text;
  }
  VolumeStatistics statistics;
  EXPECT_FALSE(read_fields(Json::object(), statistics));
}

}  // namespace
}  // namespace uvdo
