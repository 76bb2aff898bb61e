// SPDX-License-Identifier: GPL-2.0-or-later
// Growth and suspension with a power cut at every write: the volume has its old size or the new
// one, a size that was answered stays, and nothing that was stable is lost.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "small_history.h"

namespace uvdo::sim {
namespace {

using enum SmallOperation;

std::string first_failure(const std::vector<std::vector<SmallOperation>>& histories) {
  SmallHistories runner({.exhaustive_up_to = 5, .samples = 6, .torn_samples = 1});
  for (const auto& operations : histories) {
    for (const bool together : {false, true}) {
      for (const bool full : {false, true}) {
        const std::string failure = runner.run({operations, together, full, 1});
        if (!failure.empty()) return failure;
      }
    }
  }
  EXPECT_GT(runner.counts().distinct, 20U);
  return {};
}

TEST(SmallChanges, AVolumeThatGrowsSurvivesAPowerCutAtAnyWrite) {
  EXPECT_EQ(first_failure({{grow_logical, fua},
                           {write_new, grow_physical, overwrite},
                           {grow_physical, grow_logical, grow_physical},
                           {compressible, discard, grow_physical, fua}}),
            "");
}

TEST(SmallChanges, ASuspendedVolumeSurvivesAPowerCutAtAnyWrite) {
  EXPECT_EQ(first_failure({{write_new, suspend, overwrite},
                           {duplicate, pause, fua},
                           {compressible, suspend, discard, suspend},
                           {write_new, suspend, grow_physical, overwrite}}),
            "");
}

}  // namespace
}  // namespace uvdo::sim
