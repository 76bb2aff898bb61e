// SPDX-License-Identifier: GPL-2.0-or-later
// The simulation as a whole: a correct store passes, each known mistake is found, a seed replays.
#include "history.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "reference_store.h"

namespace uvdo::sim {
namespace {

// The first failure of `subject` within `seeds` histories of each profile; empty if there is none.
std::string first_failure(Subject& subject, std::uint64_t seeds, bool flushes_lie = false) {
  const Result<SparseImage> blank = format_image(subject);
  if (!blank) return blank.error().message();
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    for (const Profile& profile : profiles()) {
      HistoryOptions options;
      options.seed = seed;
      options.flushes_lie = flushes_lie;
      const HistoryResult result = run_history(subject, *blank, profile, options);
      if (!result.failure.empty()) return result.failure;
    }
  }
  return {};
}

TEST(Simulation, FindsNothingWrongWithACorrectStore) {
  ReferenceSubject subject;
  EXPECT_EQ(first_failure(subject, 8), "");
}

TEST(Simulation, ReplaysASeedExactly) {
  ReferenceSubject subject;
  const Result<SparseImage> blank = format_image(subject);
  ASSERT_TRUE(blank);
  std::vector<std::uint64_t> hashes;
  for (const std::uint64_t seed : {11U, 12U, 11U}) {
    HistoryOptions options;
    options.seed = seed;
    const HistoryResult result = run_history(subject, *blank, profiles()[0], options);
    EXPECT_EQ(result.failure, "");
    hashes.push_back(result.hash);
  }
  EXPECT_EQ(hashes[0], hashes[2]);
  EXPECT_NE(hashes[0], hashes[1]);
}

TEST(Simulation, TracingDoesNotChangeAHistory) {
  ReferenceSubject subject;
  const Result<SparseImage> blank = format_image(subject);
  ASSERT_TRUE(blank);
  HistoryOptions options;
  options.seed = 5;
  const std::uint64_t silent = run_history(subject, *blank, profiles()[0], options).hash;
  std::size_t lines = 0;
  options.trace = [&](std::string_view) { ++lines; };
  EXPECT_EQ(run_history(subject, *blank, profiles()[0], options).hash, silent);
  EXPECT_GT(lines, 100U);
}

TEST(Simulation, NoticesADiskWhoseFlushesLie) {
  ReferenceSubject subject;
  EXPECT_NE(first_failure(subject, 20, true), "");
}

class Mistakes : public testing::TestWithParam<std::pair<std::string_view, Mistake>> {};

TEST_P(Mistakes, AreNoticed) {
  ReferenceSubject subject(GetParam().second);
  EXPECT_NE(first_failure(subject, 200), "");
}

INSTANTIATE_TEST_SUITE_P(All, Mistakes, testing::ValuesIn(mistakes().begin(), mistakes().end()),
                         [](const auto& parameter) {
                           std::string name(parameter.param.first);
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace uvdo::sim
