// SPDX-License-Identifier: GPL-2.0-or-later
#include "arguments/abbreviation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uvdo {
namespace {

using Words = std::vector<std::string>;

class Abbreviations : public testing::Test {
 protected:
  void SetUp() override {
    app_.flag("--human-readable", flag_);
    app_.flag("-v,--verbose,--all", flag_);
    app_.option("--name", text_);
    app_.version("1", "-V,--version");
  }
  Result<Words> full(Words words) { return with_full_options(app_, std::move(words)); }

  Arguments app_{"A program.", "program"};
  bool flag_ = false;
  std::string text_;
};

TEST_F(Abbreviations, AreWrittenOut) {
  EXPECT_EQ(*full({"--hu", "--verb", "--n=--hu", "--na", "x"}),
            (Words{"--human-readable", "--verbose", "--name=--hu", "--name", "x"}));
}

TEST_F(Abbreviations, SecondNamesHaveThemToo) { EXPECT_EQ(*full({"--al"}), (Words{"--all"})); }

TEST_F(Abbreviations, OtherWordsStayAsTheyAre) {
  const Words words{"-v", "hu", "--nonsense", "--name", "--human-readable", "--", "--hu"};
  EXPECT_EQ(*full(words), words);
}

TEST_F(Abbreviations, ThoseOfSeveralOptionsAreRefused) {
  const auto given = full({"--ver"});
  ASSERT_FALSE(given);
  EXPECT_EQ(given.error().code(), Errc::invalid_argument);
  EXPECT_EQ(given.error().message(), "--ver may be --verbose or --version");
  EXPECT_FALSE(full({"--h"})) << "--help is an option too";
}

}  // namespace
}  // namespace uvdo
