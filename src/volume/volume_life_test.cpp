// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/volume_life.h"

#include <array>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

using Stage = VolumeLife::Stage;
constexpr std::array kStages{Stage::opening, Stage::in_use, Stage::leaving, Stage::stopping,
                             Stage::ending};

TEST(VolumeLife, NoStageIsLeftOutAndNoneComesBack) {
  for (const Stage stage : kStages) {
    for (const Stage next : kStages) {
      const bool is_next = static_cast<int>(next) == static_cast<int>(stage) + 1;
      const bool is_asked_again = stage == Stage::leaving && next == Stage::leaving;
      EXPECT_EQ(VolumeLife::may_follow(stage, next), is_next || is_asked_again);
    }
  }
}

TEST(VolumeLife, AStopThatIsAskedForDoesNotYetRefuse) {
  VolumeLife life;
  life.enter(Stage::in_use);
  life.enter(Stage::leaving);
  EXPECT_TRUE(life.is_leaving());
  EXPECT_FALSE(life.is_stopping());
  life.enter(Stage::stopping);
  EXPECT_TRUE(life.is_stopping());
}

TEST(VolumeLife, WhatCouldNotBeOpenedForWritingIsForReading) {
  VolumeLife life;
  EXPECT_FALSE(life.is_for_reading());
  life.enter(Stage::in_use);
  life.restrict_to(VolumeLife::Use::salvage);
  EXPECT_TRUE(life.is_for_reading());
  EXPECT_EQ(life.use(), VolumeLife::Use::salvage);
}

TEST(VolumeLifeDeathTest, WhoWishedToReadHasSaidSoAtTheOpening) {
  VolumeLife life;
  life.enter(Stage::in_use);
  EXPECT_DEATH(life.restrict_to(VolumeLife::Use::reading), "too late");
}

TEST(VolumeLifeDeathTest, GoingBackEndsTheProcess) {
  VolumeLife life;
  life.enter(Stage::in_use);
  EXPECT_DEATH(life.enter(Stage::opening), "life");
}

}  // namespace
}  // namespace uvdo
