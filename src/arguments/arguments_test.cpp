// SPDX-License-Identifier: GPL-2.0-or-later
#include "arguments/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uvdo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ArgumentsTest : public ::testing::Test {
 protected:
  std::optional<int> parse(std::vector<std::string> words) {
    words.insert(words.begin(), "x");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return arguments_.parse(static_cast<int>(argv.size()), argv.data());
  }
  /// What is printed when `words` are refused.
  std::string refusal(std::vector<std::string> words) {
    ::testing::internal::CaptureStderr();
    const auto status = parse(std::move(words));
    std::string text = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(status, 2) << text;
    return text;
  }

  Arguments arguments_{"Tests.", "uvdo x"};
};

TEST_F(ArgumentsTest, AreStoredByTheirKind) {
  std::string text;
  std::uint64_t number = 0;
  double part = 0;
  std::vector<std::uint32_t> list;
  std::vector<std::string> rest;
  bool flag = false;
  bool negated = true;
  arguments_.option("--text", text);
  arguments_.option("-n,--number", number);
  arguments_.option("--part", part);
  arguments_.option("--list", list).delimiter(',');
  arguments_.option("REST", rest);
  arguments_.flag("--flag", flag);
  arguments_.flag("!--no-other", negated);
  ASSERT_EQ(parse({"a", "--text=t", "-n", "18446744073709551615", "--part", "0.25", "--list=1,2",
                   "--flag", "--no-other", "b"}),
            std::nullopt);
  EXPECT_EQ(text, "t");
  EXPECT_EQ(number, 18446744073709551615ULL);
  EXPECT_EQ(part, 0.25);
  EXPECT_THAT(list, ElementsAre(1, 2));
  EXPECT_THAT(rest, ElementsAre("a", "b"));
  EXPECT_TRUE(flag);
  EXPECT_FALSE(negated);
}

TEST_F(ArgumentsTest, WrongOnesAreRefusedWithAWordOnTheRightOnes) {
  int depth = 1;
  std::string way;
  std::string odd;
  bool one = false;
  bool other = false;
  arguments_.option("--depth", depth).range(1, 4096);
  arguments_.option("--way", way).one_of({"to", "fro"});
  arguments_.option("--odd", odd).check([](const std::string& value) {
    return value.size() % 2 == 1 ? "" : "it is even";
  });
  const auto first = arguments_.flag("--one", one);
  arguments_.flag("--other", other).excludes(first);
  EXPECT_THAT(refusal({"--depth", "4097"}), StartsWith("uvdo: "));
  EXPECT_THAT(refusal({"--depth", "4097"}), HasSubstr("1 to 4096 (see uvdo x --help)"));
  EXPECT_THAT(refusal({"--depth", "deep"}), HasSubstr("deep"));
  EXPECT_THAT(refusal({"--way", "up"}), HasSubstr("fro"));
  EXPECT_THAT(refusal({"--odd", "ab"}), HasSubstr("it is even"));
  EXPECT_THAT(refusal({"--one", "--other"}), HasSubstr("excludes"));
  EXPECT_THAT(refusal({"--none"}), HasSubstr("--none"));
  EXPECT_EQ(parse({"--depth", "4096", "--way", "fro", "--odd", "abc"}), std::nullopt);
}

TEST_F(ArgumentsTest, ATransformedValueIsWhatItBecame) {
  std::string path;
  arguments_.option("PATH", path)
      .required()
      .transform([](const std::string& name) -> Result<std::string> {
        if (name == "no") return Error(Errc::not_found, "there is no no");
        return "/dev/" + name;
      });
  EXPECT_THAT(refusal({"no"}), HasSubstr("there is no no"));
  EXPECT_THAT(refusal({}), HasSubstr("PATH"));
  EXPECT_EQ(parse({"x"}), std::nullopt);
  EXPECT_EQ(path, "/dev/x");
}

TEST_F(ArgumentsTest, HelpAndVersionLeaveNothingToDo) {
  std::string text = "7G";
  arguments_.option("--text", text, "a text").show_default();
  arguments_.version("uvdo 1.2");
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(parse({"--help"}), 0);
  EXPECT_EQ(parse({"--version"}), 0);
  const std::string printed = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(printed, HasSubstr("7G"));
  EXPECT_THAT(printed, HasSubstr("a text"));
  EXPECT_THAT(printed, HasSubstr("uvdo 1.2\n"));
}

TEST_F(ArgumentsTest, TellTheirShape) {
  std::string text;
  std::vector<std::string> list;
  bool flag = false;
  arguments_.option("-t,--text,--old-text", text);
  arguments_.option("--list", list);
  arguments_.option("PLACE", text);
  arguments_.flag("--flag", flag);
  EXPECT_THAT(arguments_.long_names(), ElementsAre("--help", "--text", "--list", "--flag"));
  EXPECT_THAT(arguments_.find("--old-text")->names, ElementsAre("--text", "--old-text", "-t"));
  EXPECT_FALSE(arguments_.find("--text")->takes_several);
  EXPECT_TRUE(arguments_.find("--list")->takes_several);
  EXPECT_FALSE(arguments_.find("--list")->is_flag);
  EXPECT_TRUE(arguments_.find("--flag")->is_flag);
  EXPECT_FALSE(arguments_.find("--none").has_value());
}

}  // namespace
}  // namespace uvdo
