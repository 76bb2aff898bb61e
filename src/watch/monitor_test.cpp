// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/monitor.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uvdo {
namespace {

using ::testing::HasSubstr;
using Findings = std::vector<MonitorFinding>;

/// A volume with room for 100 blocks, of which `used` are, and 200 logical ones.
MonitoredVolume volume(std::uint64_t used) {
  MonitoredVolume made{"v", {}, {}};
  VolumeStatistics& s = made.statistics;
  s.physical_blocks = 150;
  s.extra.fixed_overhead_blocks = s.overhead_blocks_used = 50;
  s.data_blocks_used = used;
  s.logical_blocks = 200;
  s.logical_blocks_used = 100;
  return made;
}

MonitorLimits all_limits() { return {{{80, 95}}, {{50, 60}}, {{20, 10}}}; }

TEST(Monitor, PhysicalSpaceIsJudgedByTheRoomForData) {
  EXPECT_EQ(judge(volume(79), {}).verdict, Verdict::ok);
  EXPECT_EQ(judge(volume(80), {}).verdict, Verdict::warning);
  EXPECT_EQ(judge(volume(94), {}).verdict, Verdict::warning);
  EXPECT_EQ(judge(volume(95), {}).verdict, Verdict::critical);
  EXPECT_EQ(judge(volume(95), {.physical = {}}).verdict, Verdict::ok);
  EXPECT_EQ(judge(volume(96), {}).text,
            "96% of the room for data used (critical: 95%), 50% of the logical space written, "
            "4% saved");
}

TEST(Monitor, LogicalSpaceIsJudgedIfThatIsWished) {
  MonitoredVolume some = volume(10);
  MonitorLimits limits;
  limits.logical = {50, 60};
  EXPECT_EQ(judge(some, {}).verdict, Verdict::ok);
  EXPECT_EQ(judge(some, limits).verdict, Verdict::warning);
  some.statistics.logical_blocks_used = 99;
  EXPECT_EQ(judge(some, limits).verdict, Verdict::ok);
  some.statistics.logical_blocks_used = 120;
  EXPECT_EQ(judge(some, limits).verdict, Verdict::critical);
}

TEST(Monitor, LittleSavingsAreJudgedIfThatIsWished) {
  MonitorLimits limits{{}, {}, {{20, 10}}};
  EXPECT_EQ(judge(volume(79), limits).verdict, Verdict::ok);
  EXPECT_EQ(judge(volume(80), limits).verdict, Verdict::warning);
  EXPECT_EQ(judge(volume(90), limits).verdict, Verdict::critical);
  EXPECT_EQ(judge(volume(90), {.physical = {}}).verdict, Verdict::ok);
  MonitoredVolume unused = volume(0);
  unused.statistics.logical_blocks_used = 0;
  EXPECT_EQ(judge(unused, limits).verdict, Verdict::ok) << "there is nothing to be saved";
}

TEST(Monitor, WhatIsNotKnownIsNotJudged) {
  MonitoredVolume recovering = volume(99);
  recovering.statistics.in_recovery_mode = true;
  const MonitorFinding finding = judge(recovering, all_limits());
  EXPECT_EQ(finding.verdict, Verdict::ok);
  EXPECT_EQ(finding.figures,
            "physical=U;80;95;0;100 logical=U;50;60;0;100 savings=U;@0:20;@0:10;0;100");
  EXPECT_THAT(finding.text, HasSubstr("not known how much of the room for data used"));
}

TEST(Monitor, TroublesAreGraveByTheirKind) {
  MonitoredVolume some = volume(10);
  some.troubles = {{TroubleKind::index, "The index has failed.", "Do something."}};
  EXPECT_EQ(judge(some, {}).verdict, Verdict::warning);
  EXPECT_THAT(judge(some, {}).text, testing::StartsWith("The index has failed; 10% of"));
  some.troubles.push_back({TroubleKind::disk, "The disk has failed.", ""});
  EXPECT_EQ(judge(some, {}).verdict, Verdict::critical);
  // Of the room the limits decide.
  some.troubles = {{TroubleKind::room, "90 % of the room is used.", ""}};
  EXPECT_EQ(judge(some, {}).verdict, Verdict::ok);
}

TEST(NagiosLine, OfOneVolumeHasItsFigures) {
  const Findings findings{judge(volume(81), all_limits())};
  EXPECT_EQ(nagios_line(findings, FigureNames::short_names),
            "UVDO WARNING - v: 81% of the room for data used (warning: 80%), 50% of the logical "
            "space written (warning: 50%), 19% saved (warning: 20%)"
            "|physical=81%;80;95;0;100 logical=50%;50;60;0;100 savings=19%;@0:20;@0:10;0;100");
}

TEST(NagiosLine, OfSeveralTellsThoseThatNeedAttention) {
  MonitoredVolume a = volume(10);
  a.name = "a'=|b";
  Findings findings{judge(a, {}), {"gone", Verdict::critical, "nobody serves it"}};
  const std::string line = nagios_line(findings, FigureNames::with_volume);
  EXPECT_THAT(line, testing::StartsWith("UVDO CRITICAL - gone: nobody serves it; 1 more is well|"
                                        "'a__/b physical'=10%;80;95;0;100 'a__/b logical'=50%;;"));
  EXPECT_EQ(std::ranges::count(line, '|'), 1);
  findings = {judge(a, {}), judge(volume(2), {})};
  EXPECT_THAT(nagios_line(findings, FigureNames::with_volume),
              testing::StartsWith("UVDO OK - all 2 volumes are well|"));
}

TEST(NagiosLine, WithoutVolumesNothingIsKnown) {
  EXPECT_EQ(nagios_line({}, FigureNames::with_volume), "UVDO UNKNOWN - no volume is being served");
}

TEST(Verdicts, TheGravestCounts) {
  const auto of = [](std::initializer_list<Verdict> verdicts) {
    Findings findings;
    for (const Verdict verdict : verdicts) findings.push_back({"v", verdict, ""});
    return gravest(findings);
  };
  EXPECT_EQ(of({Verdict::ok, Verdict::unknown}), Verdict::unknown);
  EXPECT_EQ(of({Verdict::unknown, Verdict::warning}), Verdict::warning);
  EXPECT_EQ(of({Verdict::critical, Verdict::warning}), Verdict::critical);
  EXPECT_EQ(of({}), Verdict::unknown);
}

TEST(PercentLimits, AreTwoPercentsInOrder) {
  const auto parsed = parse_percent_limits("70,90", LimitDirection::upwards);
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_EQ((*parsed)->warning, 70U);
  EXPECT_EQ((*parsed)->critical, 90U);
  EXPECT_TRUE(parse_percent_limits("20,5", LimitDirection::downwards));
  EXPECT_EQ(*parse_percent_limits("none", LimitDirection::upwards), std::nullopt);
  for (const char* text : {"", "80", "90,80", "80,101", "80,", ",80", "80%,90%", "1,2,3", "-1,5"}) {
    EXPECT_FALSE(parse_percent_limits(text, LimitDirection::upwards)) << text;
  }
  EXPECT_FALSE(parse_percent_limits("5,20", LimitDirection::downwards));
}

}  // namespace
}  // namespace uvdo
