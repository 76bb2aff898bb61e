// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Json, IsReadToADepthOf32) {
  EXPECT_TRUE(parse_json(nested(32)));
  EXPECT_FALSE(parse_json(nested(33)));
  EXPECT_FALSE(parse_json(nested(100'000)));
  std::string objects;
  for (int i = 0; i < 33; ++i) objects += R"({"a":)";
  EXPECT_FALSE(parse_json(objects + "1" + std::string(33, '}')));
}

TEST(Json, BracketsInTextAreNoDepth) {
  EXPECT_TRUE(parse_json('"' + std::string(100, '[') + '"'));
  EXPECT_TRUE(parse_json(R"(["\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "\\"])"));
  EXPECT_FALSE(parse_json(R"(["\\",)" + nested(32) + "]"));
}

TEST(Json, ControlCharactersAreEscapedInText) {
  const Json json = {{"name",
                      "a\033[2J\x7f\xc2\x9b"
                      "1m\xc3\xa9"}};
  const std::string text = json_text(json);
  EXPECT_EQ(text, "{\"name\":\"a\\u001b[2J\\u007f\\u009b1m\xc3\xa9\"}");
  EXPECT_EQ(parse_json(text), json);
}

}  // namespace
}  // namespace uvdo
