// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/json_in_turns.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"

namespace uvdo {
namespace {

std::string text_in_turns(SimExecutor& executor, Json json) {
  std::string text;
  const auto outcome =
      executor.run([](SimExecutor& owner, Json value, std::string& into) -> Task<void> {
        into = co_await json_text_in_turns(owner, std::move(value));
      }(executor, std::move(json), text));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  return text;
}

TEST(JsonInTurns, IsTheSameText) {
  for (const char* text :
       {"null", "17", "\"a\\\"b\"", "[]", "{}", "[1,2,[3,{\"a\":[]}],{}]",
        "{\"b\":{\"a\":[{\"x\":1.5,\"y\":null},{\"x\":true}]},\"\\u0001\":\"\",\"a\":[[],[[]]]}"}) {
    SimExecutor executor({.seed = 1});
    const auto json = parse_json(text);
    ASSERT_TRUE(json) << text;
    EXPECT_EQ(text_in_turns(executor, *json), json_text(*json));
  }
}

TEST(JsonInTurns, GivesWayInALongArray) {
  Json slabs = Json::array();
  for (int i = 0; i < 8192; ++i) slabs.push_back({{"number", i}, {"ready", true}, {"free", 1000}});
  SimExecutor executor({.seed = 1});
  const std::string expected = json_text(slabs);
  EXPECT_EQ(text_in_turns(executor, {{"slabs", slabs}}), "{\"slabs\":" + expected + "}");
  EXPECT_LE(executor.longest_turn(), kTurnUnits + 1000);
}

}  // namespace
}  // namespace uvdo
