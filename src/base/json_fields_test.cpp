// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json_fields.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

struct Part {
  std::string name;
  bool operator==(const Part&) const = default;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("name", self.name, "is a text");
  }
};

struct Whole {
  std::uint64_t count = 7;
  bool is_on = false;
  std::uint16_t small = 0;
  double part = 0.5;
  std::optional<std::uint64_t> known;
  std::optional<std::chrono::seconds> until;
  std::vector<Part> parts;
  bool operator==(const Whole&) const = default;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("count", self.count, "is a number");
    v.group("inner", [&] {
      v.value("on", self.is_on, "is true or false");
      v.value("small", self.small);
    });
    v.value("part", self.part);
    v.value("known", self.known);
    v.optional("until", self.until, "is a number of seconds");
    v.value("parts", self.parts);
  }
};

TEST(JsonFields, WhatIsWrittenIsRead) {
  Whole whole;
  EXPECT_EQ(json_text(fields_json(whole)),
            R"({"count":7,"inner":{"on":false,"small":0},"part":0.5,"known":null,"parts":[]})");
  whole = {1, true, 65535, 2, 3, std::chrono::seconds(4), {{"a"}, {"b"}}};
  Whole back;
  EXPECT_FALSE(read_fields(*parse_json(json_text(fields_json(whole))), back));
  EXPECT_EQ(back, whole);
}

TEST(JsonFields, WhatIsMissingKeepsItsValueAndWhatIsStrangeIsLeftAlone) {
  Whole whole;
  EXPECT_FALSE(read_fields(*parse_json(R"({"strange": 1, "inner": {"on": true}})"), whole));
  EXPECT_EQ(whole.count, 7U);
  EXPECT_TRUE(whole.is_on);
  Part part;
  EXPECT_EQ(read_fields(Json::object(), part)->key, "name") << "it may not be missing";
}

TEST(JsonFields, TheFirstWrongFieldIsNamedWithItsRule) {
  for (const auto& [text, key, rule] : std::vector<std::array<const char*, 3>>{
           {R"({"count": -1})", "count", "is a number"},
           {R"({"count": 1.5, "part": "x"})", "count", "is a number"},
           {R"({"inner": {"on": 1}})", "on", "is true or false"},
           {R"({"inner": {"small": 65536}})", "small", ""},
           {R"({"inner": []})", "inner", ""},
           {R"({"known": "x"})", "known", ""},
           {R"({"until": null})", "until", "is a number of seconds"},
           {R"({"parts": [{}]})", "parts", ""},
           {R"({"parts": {}})", "parts", ""},
           {"[]", "", ""},
           {"3", "", ""}}) {
    Whole whole;
    const auto problem = read_fields(*parse_json(text), whole);
    ASSERT_TRUE(problem) << text;
    EXPECT_EQ(problem->key, key) << text;
    EXPECT_EQ(problem->rule, rule) << text;
  }
}

TEST(JsonFields, KeysAreThoseOfTheOuterObject) {
  EXPECT_EQ(field_keys<Whole>(),
            (std::vector<std::string_view>{"count", "inner", "part", "known", "until", "parts"}));
}

}  // namespace
}  // namespace uvdo
