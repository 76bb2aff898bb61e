// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/screen_layout.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

using Lines = std::vector<std::string>;

std::vector<ScreenLine> screen() {
  return {{LineUse::title, "title"},     {LineUse::state, "state"},
          {LineUse::spacing, ""},        {LineUse::requests, "reads"},
          {LineUse::requests, "writes"}, {LineUse::spacing, ""},
          {LineUse::history, "▁▂▃"},     {LineUse::verdict, "Held up by the clients."}};
}

TEST(ScreenLayout, ShowsAllWhereThereIsRoom) {
  EXPECT_EQ(fit_lines(screen(), 8, 80),
            (Lines{"title", "state", "", "reads", "writes", "", "▁▂▃", "Held up by the clients."}));
}

TEST(ScreenLayout, LeavesOutWhatIsOfLeastUse) {
  struct Case {
    std::size_t rows;
    Lines shown;
  };
  const std::string verdict = "Held up by the clients.";
  for (const Case& at : {
           Case{7, {"title", "state", "", "reads", "writes", "▁▂▃", verdict}},
           Case{6, {"title", "state", "reads", "writes", "▁▂▃", verdict}},
           Case{5, {"title", "state", "reads", "writes", verdict}},
           Case{4, {"title", "state", "reads", verdict}},
           Case{3, {"title", "state", verdict}},
           Case{2, {"state", verdict}},
           Case{1, {verdict}},
           Case{0, {}},
       }) {
    EXPECT_EQ(fit_lines(screen(), at.rows, 80), at.shown) << at.rows << " rows";
  }
}

TEST(ScreenLayout, AVerdictIsWrappedAndOthersAreCut) {
  EXPECT_EQ(fit_lines(screen(), 20, 12), (Lines{"title", "state", "", "reads", "writes", "", "▁▂▃",
                                                "Held up by", "the clients."}));
  EXPECT_EQ(fit_lines(screen(), 3, 12), (Lines{"state", "Held up by", "the clients."}));
  EXPECT_EQ(fit_lines(screen(), 1, 12), (Lines{"Held up by"}));
  EXPECT_EQ(fit_lines({{LineUse::history, "▁▂▃"}}, 1, 2), (Lines{"▁▂"}));
  EXPECT_EQ(fit_lines({{LineUse::verdict, "▁▂▃ of"}}, 3, 2), (Lines{"▁▂", "▃", "of"}));
  EXPECT_EQ(fit_lines({{LineUse::verdict, "ab"}}, 3, 0), (Lines{"a", "b"}));
}

}  // namespace
}  // namespace uvdo
