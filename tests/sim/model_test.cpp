// SPDX-License-Identifier: GPL-2.0-or-later
// The model must allow what a volume may do and nothing else.
#include "model.h"

#include <array>

#include <gtest/gtest.h>

namespace uvdo::sim {
namespace {

constexpr ContentId kA{ContentKind::unique, 1};
constexpr ContentId kB{ContentKind::unique, 2};
constexpr ContentId kC{ContentKind::unique, 3};
constexpr ContentId kZero{};

class ModelTest : public ::testing::Test {
 protected:
  using Bytes = std::array<std::byte, kBlockSize>;
  static Bytes bytes_of(ContentId id) {
    Bytes bytes;
    fill_block(id, bytes);
    return bytes;
  }
  Model::Token begin(ContentId id) { return model.begin({BlockChange{.block = 0, .content = id}}); }
  void write(ContentId id, bool stable = false) { model.acknowledge(begin(id), stable); }
  void flush() { model.acknowledge_flush(model.begin_flush()); }
  bool may_read(const Bytes& bytes) {
    const Model::Token token = model.begin_read(0, 1);
    const bool right = !model.check_read(token, 0, 0, bytes).has_value();
    model.end_read(token);
    return right;
  }
  bool may_read(ContentId id) { return may_read(bytes_of(id)); }
  // What is found becomes the value.
  bool may_find_after_crash(const Bytes& bytes) {
    return !model.check_after_crash(0, bytes).has_value();
  }
  // Runs `setup` on a fresh model, cuts the power, and says whether block 0 may then hold `id`.
  template <class Setup>
  bool may_follow(const Setup& setup, ContentId id) {
    model = Model(4);
    setup();
    model.crash();
    return may_find_after_crash(bytes_of(id));
  }
  Model model{4};
};

TEST_F(ModelTest, AcknowledgedWriteIsWhatReadsSee) {
  EXPECT_TRUE(may_read(kZero));
  write(kA);
  EXPECT_TRUE(may_read(kA));
  EXPECT_FALSE(may_read(kZero));
  write(kB);
  EXPECT_TRUE(may_read(kB));
  EXPECT_FALSE(may_read(kA));
}

TEST_F(ModelTest, ADeathOfTheProcessLosesNothingThatWasAcknowledged) {
  write(kA);
  write(kB);
  model.die();
  EXPECT_FALSE(may_read(kA));
  EXPECT_FALSE(may_read(kZero));
  EXPECT_TRUE(may_read(kB));
  const Model::Token token = begin(kC);
  model.die();
  model.acknowledge(token, false);
  EXPECT_TRUE(may_find_after_crash(bytes_of(kC))) << "it may have happened";
  EXPECT_FALSE(may_find_after_crash(bytes_of(kB))) << "it has";
}

TEST_F(ModelTest, APowerCutBehindADeathBringsBackWhatNoFlushHasCovered) {
  const auto setup = [this] {
    write(kA);
    flush();
    write(kB);
    model.die();
  };
  EXPECT_TRUE(may_follow(setup, kA));
  EXPECT_TRUE(may_follow(setup, kB));
  EXPECT_FALSE(may_follow(setup, kZero));
  const auto come_back = [&] {
    setup();
    model.come_back();
  };
  EXPECT_FALSE(may_follow(come_back, kA)) << "it was made stable before anybody was served";
  EXPECT_TRUE(may_follow(come_back, kB));
}

TEST_F(ModelTest, WriteUnderWayMayBeSeenOrNot) {
  write(kA);
  const Model::Token token = begin(kB);
  EXPECT_TRUE(may_read(kA));
  EXPECT_TRUE(may_read(kB));
  EXPECT_FALSE(may_read(kC));
  model.acknowledge(token, false);
  EXPECT_FALSE(may_read(kA));
  EXPECT_TRUE(may_read(kB));
}

TEST_F(ModelTest, RacingWritesEndInEitherAndStayThere) {
  const Model::Token a = begin(kA);
  const Model::Token b = begin(kB);
  model.acknowledge(a, false);
  model.acknowledge(b, false);
  EXPECT_FALSE(may_read(kZero));
  EXPECT_TRUE(may_read(kA));  // now it is known that A came last
  EXPECT_FALSE(may_read(kB));
  EXPECT_TRUE(may_read(kA));
}

TEST_F(ModelTest, ReadMaySeeWhatWasTrueWhenItBegan) {
  write(kA);
  const Model::Token early = model.begin_read(0, 1);
  write(kB);
  flush();
  EXPECT_FALSE(model.check_read(early, 0, 0, bytes_of(kA)).has_value());
  EXPECT_FALSE(model.check_read(early, 0, 0, bytes_of(kB)).has_value());
  EXPECT_TRUE(model.check_read(early, 0, 0, bytes_of(kZero)).has_value());
  model.end_read(early);
  EXPECT_FALSE(may_read(kA));
}

TEST_F(ModelTest, PartialWriteChangesItsPartOnly) {
  write(kA);
  const BlockChange part{.block = 0, .offset = 512, .length = 1000, .content = kB};
  const Model::Token token = model.begin({part});
  Bytes mixed = bytes_of(kA);
  const Bytes source = bytes_of(kB);
  std::copy(source.begin() + 512, source.begin() + 1512, mixed.begin() + 512);
  EXPECT_TRUE(may_read(mixed));
  EXPECT_TRUE(may_read(kA));
  model.acknowledge(token, false);
  EXPECT_TRUE(may_read(mixed));
  EXPECT_FALSE(may_read(kA));
  EXPECT_FALSE(may_read(kB));
}

TEST_F(ModelTest, RacingPartsOfABlockBothCount) {
  const Model::Token first =
      model.begin({{.block = 0, .offset = 0, .length = 2048, .content = kA}});
  const Model::Token second =
      model.begin({{.block = 0, .offset = 1024, .length = 3072, .content = kB}});
  model.acknowledge(second, false);
  model.acknowledge(first, false);
  const Bytes a = bytes_of(kA);
  const Bytes b = bytes_of(kB);
  Bytes a_last = b;
  std::copy(a.begin(), a.begin() + 2048, a_last.begin());
  Bytes lost{};
  std::copy(a.begin(), a.begin() + 2048, lost.begin());
  EXPECT_FALSE(may_read(lost));  // the lost update of an unlocked read-modify-write
  EXPECT_TRUE(may_read(a_last));
}

TEST_F(ModelTest, UnflushedWritesMaySurviveACrash) {
  const auto setup = [this] {
    write(kA);
    flush();
    write(kB);
    write(kC);
  };
  EXPECT_TRUE(may_follow(setup, kA));
  EXPECT_TRUE(may_follow(setup, kB));
  EXPECT_TRUE(may_follow(setup, kC));
  EXPECT_FALSE(may_follow(setup, kZero));
}

TEST_F(ModelTest, FlushedWriteSurvivesACrash) {
  const auto setup = [this] {
    write(kA);
    write(kB);
    flush();
  };
  EXPECT_TRUE(may_follow(setup, kB));
  EXPECT_FALSE(may_follow(setup, kA));
  EXPECT_FALSE(may_follow(setup, kZero));
}

TEST_F(ModelTest, FlushCoversOnlyWhatWasAcknowledgedBeforeIt) {
  const auto setup = [this] {
    const Model::Token token = model.begin_flush();
    write(kA);
    model.acknowledge_flush(token);
  };
  EXPECT_TRUE(may_follow(setup, kZero));
  EXPECT_TRUE(may_follow(setup, kA));
}

TEST_F(ModelTest, FlushThatWasNotAnsweredCoversNothing) {
  const auto setup = [this] {
    write(kA);
    model.begin_flush();
  };
  EXPECT_TRUE(may_follow(setup, kZero));
}

TEST_F(ModelTest, FuaWriteSurvivesButMayBeOverwrittenByALaterOne) {
  const auto setup = [this] {
    write(kA);
    write(kB, true);
    begin(kC);
  };
  EXPECT_FALSE(may_follow(setup, kZero));
  EXPECT_FALSE(may_follow(setup, kA));
  EXPECT_TRUE(may_follow(setup, kB));
  EXPECT_TRUE(may_follow(setup, kC));
}

TEST_F(ModelTest, WriteThatRacedWithAFuaWriteMayHaveComeLast) {
  const auto setup = [this] {
    const Model::Token a = begin(kA);
    const Model::Token b = begin(kB);
    model.acknowledge(a, false);
    model.acknowledge(b, true);
  };
  EXPECT_FALSE(may_follow(setup, kZero));
  EXPECT_TRUE(may_follow(setup, kA));
  EXPECT_TRUE(may_follow(setup, kB));
}

TEST_F(ModelTest, FailedWriteMayHaveHappened) {
  const auto setup = [this] { model.fail(begin(kA)); };
  setup();
  EXPECT_TRUE(may_read(kA));
  EXPECT_FALSE(may_read(kZero));  // it has been seen
  EXPECT_TRUE(may_follow(setup, kA));
  EXPECT_TRUE(may_follow(setup, kZero));
}

TEST_F(ModelTest, WhatWasFoundAfterACrashStays) {
  write(kA);
  write(kB);
  model.crash();
  EXPECT_TRUE(may_find_after_crash(bytes_of(kA)));
  EXPECT_TRUE(may_read(kA));
  EXPECT_FALSE(may_read(kB));
  model.crash();
  EXPECT_FALSE(may_find_after_crash(bytes_of(kB)));
}

TEST_F(ModelTest, ACrashForgetsOperationsUnderWay) {
  const Model::Token token = begin(kA);
  model.crash();
  EXPECT_TRUE(may_find_after_crash(bytes_of(kZero)));
  model.acknowledge(token, true);
  EXPECT_TRUE(may_read(kZero));
  EXPECT_FALSE(may_read(kA));
}

TEST_F(ModelTest, TornBlockIsNeverRight) {
  write(kA);
  write(kB);
  model.crash();
  Bytes torn = bytes_of(kA);
  const Bytes other = bytes_of(kB);
  std::copy(other.begin(), other.begin() + kSectorSize, torn.begin());
  const auto wrong = model.check_after_crash(0, torn);
  ASSERT_TRUE(wrong.has_value());
  EXPECT_NE(wrong->find("a mixture: [unique #2] [unique #1]"), std::string::npos) << *wrong;
}

TEST_F(ModelTest, EdgesOfADiscardMayStay) {
  write(kA);
  model.acknowledge(
      model.begin({{.block = 0, .offset = 0, .length = 512, .content = kZero, .optional = true}}),
      false);
  EXPECT_TRUE(may_read(kA));
  EXPECT_FALSE(may_read(kZero));
}

}  // namespace
}  // namespace uvdo::sim
