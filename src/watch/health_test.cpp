// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uvdo {
namespace {

using ::testing::HasSubstr;

/// A volume in use of 1000 blocks, 100 of them overhead, with `data` blocks in use.
HealthFacts facts(std::uint64_t data) {
  HealthFacts made;
  made.volume = "v";
  VolumeStatistics& s = made.statistics;
  s.physical_blocks = 1000;
  s.extra.fixed_overhead_blocks = 95;
  s.overhead_blocks_used = 100;  // 5 of them block map pages
  s.data_blocks_used = data;
  s.extra.index_state = "online";
  s.extra.deduplication = true;
  return made;
}

TEST(Health, AllIsWellInOneSentence) {
  const Health health = assess(facts(448));
  EXPECT_TRUE(health.is_well());
  EXPECT_TRUE(health.notes.empty());
  EXPECT_EQ(health.summary,
            "All is well: v is in use, 50 % of its room for data of 3.5 MiB is taken, "
            "deduplication is on, compression is off.");
}

TEST(Health, HowMuchRoomIsUsedIsNotAlwaysKnown) {
  VolumeStatistics s = facts(448).statistics;
  EXPECT_EQ(room_used(s), 453U);
  s.extra.suspended = true;
  EXPECT_EQ(room_used(s), 453U);
  s.in_recovery_mode = true;
  EXPECT_EQ(room_used(s), std::nullopt) << "also of a suspended volume";
  s.in_recovery_mode = false;
  s.mode = OperatingMode::recovering;
  EXPECT_EQ(room_used(s), std::nullopt);
  s.mode = OperatingMode::read_only;
  EXPECT_EQ(room_used(s), std::nullopt);
  s.extra.is_counted = true;
  EXPECT_EQ(room_used(s), 453U);
}

TEST(Health, SpaceIsTroubleWhenLittleIsLeft) {
  EXPECT_TRUE(assess(facts(809)).is_well());
  HealthFacts nearly = facts(810);
  nearly.until_full = std::chrono::minutes(90);
  nearly.rate_over = std::chrono::seconds(20);
  Health health = assess(nearly);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("90 %"));
  EXPECT_THAT(health.troubles[0].problem,
              HasSubstr("at the rate of the last 20 seconds it is full in 90 minutes"));
  EXPECT_THAT(health.troubles[0].advice, HasSubstr("fstrim"));
  health = assess(facts(900));
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("full: writes of new data fail"));
  HealthFacts soon = facts(10);
  soon.until_full = std::chrono::hours(3);
  health = assess(soon);
  EXPECT_TRUE(health.is_well());
  EXPECT_THAT(health.notes[0], HasSubstr("full in 3 hours"));
}

TEST(Trouble, KindsTravelByTheirNames) {
  using Codec = JsonCodec<TroubleKind>;
  for (const TroubleKind kind : {TroubleKind::read_only, TroubleKind::beneath_nearly_full,
                                 TroubleKind::silent, TroubleKind::index, TroubleKind::other}) {
    EXPECT_EQ(Codec::read(Codec::write(kind)), kind);
  }
  EXPECT_EQ(Codec::write(TroubleKind::no_room_beneath), "no-room-beneath");
  EXPECT_EQ(Codec::read("of a later version"), TroubleKind::other);
  EXPECT_EQ(Codec::read(5), std::nullopt);
  EXPECT_EQ(gravity_of(TroubleKind::read_only), Gravity::critical);
  EXPECT_EQ(gravity_of(TroubleKind::index), Gravity::warning);
}

TEST(Health, ASilentStoreIsTold) {
  HealthFacts waiting = facts(10);
  waiting.backing.emplace();
  waiting.backing->silent_for = std::chrono::seconds(4);
  EXPECT_TRUE(assess(waiting).is_well());
  waiting.backing->silent_for = std::chrono::seconds(12);
  waiting.backing->trouble = "no NBD server listens there";
  const Health health = assess(waiting);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_EQ(health.troubles[0].kind, TroubleKind::silent);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("has not answered for 12 seconds: no NBD"));
}

TEST(Health, AClusterThatIsNearlyFullIsTold) {
  HealthFacts short_of_room = facts(10);
  short_of_room.backing.emplace();
  short_of_room.backing->fullness = "1 nearfull osd(s)";
  const Health health = assess(short_of_room);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_EQ(health.troubles[0].kind, TroubleKind::beneath_nearly_full);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("The cluster beneath says: 1 nearfull osd(s)"));
}

TEST(Health, AReadOnlyVolumeSaysWhyAndWhatToDo) {
  HealthFacts broken = facts(895);
  broken.read_only_reason = "write of 4096 bytes at 0: Input/output error";
  broken.statistics.extra.index_state = "error";
  const Health health = assess(broken);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("Input/output error"));
  EXPECT_THAT(health.troubles[0].advice, HasSubstr("uvdo rebuild"));
  EXPECT_THAT(health.summary, HasSubstr("needs attention"));
}

TEST(Health, TheIndexIsTroubleOnlyIfItHasFailed) {
  HealthFacts some = facts(10);
  some.statistics.extra.index_state = "error";
  EXPECT_THAT(assess(some).troubles[0].advice, HasSubstr("uvdo index create"));
  for (const char* state : {"opening", "closed"}) {
    some.statistics.extra.index_state = state;
    EXPECT_TRUE(assess(some).is_well());
    EXPECT_EQ(assess(some).notes.size(), 1U) << state;
  }
  some.statistics.extra.index_state = "offline";
  some.statistics.extra.deduplication = false;
  EXPECT_THAT(assess(some).notes[0], HasSubstr("switched off"));
}

TEST(Health, ADeviceThatRefusesDiscardsIsWorthANote) {
  HealthFacts some = facts(10);
  some.statistics.extra.discard_state = "on";
  EXPECT_TRUE(assess(some).notes.empty());
  some.statistics.extra.discard_state = "refused";
  EXPECT_TRUE(assess(some).is_well());
  EXPECT_THAT(assess(some).notes[0], HasSubstr("not given back"));
}

TEST(Health, ASuspendedVolumeIsToBeResumed) {
  HealthFacts paused = facts(10);
  paused.statistics.extra.suspended = true;
  paused.statistics.extra.index_state = "closed";
  const Health health = assess(paused);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("suspended"));
  EXPECT_THAT(health.troubles[0].advice, HasSubstr("uvdo resume"));
  EXPECT_TRUE(health.notes.empty());
}

TEST(Health, ARecoveryIsWorthANote) {
  HealthFacts crashed = facts(895);
  crashed.statistics.in_recovery_mode = true;
  crashed.statistics.mode = OperatingMode::recovering;
  crashed.statistics.recovery_percentage = 42;
  EXPECT_TRUE(assess(crashed).is_well());
  EXPECT_THAT(assess(crashed).summary, HasSubstr("is not known yet"));
  EXPECT_THAT(assess(crashed).notes[0], HasSubstr("42 % done"));
}

TEST(Health, TheConditionIsTheGravestThatApplies) {
  VolumeStatistics s;
  EXPECT_EQ(name_of(condition_of(s)), "normal");
  s.in_recovery_mode = true;
  EXPECT_EQ(name_of(condition_of(s)), "recovering");
  s.extra.suspended = true;
  EXPECT_EQ(name_of(condition_of(s)), "suspended");
  s.mode = OperatingMode::read_only;
  EXPECT_EQ(name_of(condition_of(s)), "read-only");
}

TEST(Health, RoomIsNeverLessThanNothing) {
  VolumeStatistics s;
  s.physical_blocks = 10;
  s.extra.fixed_overhead_blocks = 11;
  s.overhead_blocks_used = 7;
  EXPECT_EQ(room_for_data(s), 0U);
  EXPECT_EQ(room_used(s), 0U);
}

TEST(Health, DurationsAreSaidInTheUnitThatFits) {
  using std::chrono::seconds;
  EXPECT_EQ(duration_text(seconds(0)), "0 seconds");
  EXPECT_EQ(duration_text(seconds(1)), "1 second");
  EXPECT_EQ(duration_text(seconds(119)), "119 seconds");
  EXPECT_EQ(duration_text(seconds(120)), "2 minutes");
  EXPECT_EQ(duration_text(std::chrono::hours(36)), "36 hours");
  EXPECT_EQ(duration_text(std::chrono::hours(72)), "3 days");
}

TEST(Health, FailuresOfTheDiskAreTrouble) {
  HealthFacts some = facts(448);
  some.device.failed_reads = 3;
  some.last_device_error = "read of 4096 bytes at byte 0 of v: Input/output error";
  Health health = assess(some);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("3 reads, 0 writes"));
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("Input/output error"));
  some = facts(448);
  some.was_cut_off = true;
  EXPECT_THAT(assess(some).troubles[0].problem, HasSubstr("cut off"));
}

TEST(Health, AFileThatIsNotWhereItWasIsTrouble) {
  HealthFacts some = facts(448);
  some.backing.emplace();
  some.backing->is_file = true;
  some.backing->links = 1;
  some.backing->inode = 4711;
  EXPECT_TRUE(assess(some).is_well());
  some.backing->named = BackingState::Named::nothing;
  EXPECT_THAT(assess(some).troubles[0].problem, HasSubstr("4711) has another name"));
  some.backing->named = BackingState::Named::another;
  EXPECT_THAT(assess(some).troubles[0].problem, HasSubstr("Another file is in the place"));
  some.backing->links = 0;
  EXPECT_THAT(assess(some).troubles[0].problem, HasSubstr("has been removed, and another one"));
  EXPECT_THAT(assess(some).troubles[0].advice, HasSubstr("Do not stop the server"));
}

TEST(Health, RoomBeneathIsToldAndItsLackIsTrouble) {
  constexpr std::uint64_t kMiB = 1ULL << 20U;
  HealthFacts some = facts(448);
  some.backing.emplace();
  some.backing->is_file = true;
  some.backing->links = 1;
  some.backing->allocated = 100 * kMiB;
  some.backing->free = 1000 * kMiB;
  some.backing->capacity = 10'000 * kMiB;
  some.end_of_volume = 1100 * kMiB;
  EXPECT_TRUE(assess(some).notes.empty());
  some.end_of_volume = 4196 * kMiB;
  EXPECT_TRUE(assess(some).is_well());
  EXPECT_THAT(assess(some).notes[0],
              HasSubstr("may take 4 GiB more, and its file system has 1000 MiB free"));
  some.backing->free = 101 * kMiB;
  EXPECT_THAT(assess(some).troubles[0].problem, HasSubstr("nearly full"));
  some.short_for = std::chrono::seconds(7);
  some.bytes_waiting = 3 * kMiB;
  Health health = assess(some);
  ASSERT_EQ(health.troubles.size(), 1U);
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("since 7 seconds"));
  EXPECT_THAT(health.troubles[0].problem, HasSubstr("held back"));
  some.refuses_writes = true;
  EXPECT_THAT(assess(some).troubles[0].problem, HasSubstr("fail with \"no space\""));
}

}  // namespace
}  // namespace uvdo
