// SPDX-License-Identifier: GPL-2.0-or-later
// JSON statistics: the kernel's keys, and nothing lost on the way there and back.
#include "watch/statistics_json.h"

#include <gtest/gtest.h>

#include "statistics/statistics_fields.h"
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
  visit_statistics(statistics, filler);
  ASSERT_GT(filler.next, 140U);
  const auto json = to_json(statistics);
  auto back = statistics_from_json(*parse_json(json_text(json)));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(to_json(*back), json);
  EXPECT_EQ(statistics_message(*back), statistics_message(statistics));
  EXPECT_EQ(json["journal"]["entries"]["started"], statistics.journal.entries.started);
  EXPECT_EQ(json["mode"], "recovering");
}

TEST(StatisticsJson, UnknownSavingsAreNull) {
  const auto json = to_json(VolumeStatistics{});
  EXPECT_TRUE(json["savings"]["zeroBlocks"].is_null());
  EXPECT_FALSE(statistics_from_json(json)->savings.zero_blocks.has_value());
}

TEST(StatisticsJson, WrongTypesAreErrors) {
  for (const char* text :
       {"[]", "3", R"({"version": "x"})", R"({"mode": "odd"})", R"({"uvdo": {"running": 1}})",
        R"({"version": -1})", R"({"journal": 1})"}) {
    auto result = statistics_from_json(*parse_json(text));
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().code(), Errc::protocol);
  }
  EXPECT_TRUE(statistics_from_json(Json::object()).ok());
}

}  // namespace
}  // namespace uvdo
