// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/option_table.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

OptionTable options() {
  return {{"cache", std::string("1G")}, {"attach", std::vector<std::string>{"ublk", "nbd"}},
          {"read-only", true},          {"lock-memory", false},
          {"compression", false},       {"max-clients", std::int64_t{7}}};
}

TEST(OptionTable, FindsValuesByTheirKinds) {
  const OptionTable table = options();
  EXPECT_EQ(table.text("cache"), "1G");
  EXPECT_EQ(table.text("attach"), "ublk,nbd");
  EXPECT_EQ(table.text("compression"), "off");
  EXPECT_EQ(table.number("max-clients"), 7);
  EXPECT_EQ(table.number("cache"), std::nullopt);
  EXPECT_EQ(table.truth("read-only"), true);
  EXPECT_EQ(table.truth("none"), std::nullopt);
  EXPECT_EQ(table.list("attach"), (std::vector<std::string>{"ublk", "nbd"}));
  EXPECT_EQ(table.list("cache"), std::vector<std::string>{"1G"});
  EXPECT_TRUE(table.list("read-only").empty());
}

TEST(OptionTable, ChangesAValueInItsPlace) {
  OptionTable table = options();
  table.set("cache", std::string("2G"));
  table.set("metrics", std::string("unix:/m"));
  EXPECT_EQ(table.entries().front().second, OptionValue(std::string("2G")));
  EXPECT_EQ(table.entries().back().first, "metrics");
  EXPECT_TRUE(table.erase("cache"));
  EXPECT_FALSE(table.erase("cache"));
  EXPECT_EQ(table.find("cache"), nullptr);
}

TEST(OptionTable, BecomesWordsOfACommandLine) {
  const auto is_flag = [](std::string_view key) {
    return key == "read-only" || key == "lock-memory";
  };
  EXPECT_EQ(command_line_of(options(), is_flag),
            (std::vector<std::string>{"--cache=1G", "--attach=ublk", "--attach=nbd", "--read-only",
                                      "--compression=off", "--max-clients=7"}));
}

}  // namespace
}  // namespace uvdo
