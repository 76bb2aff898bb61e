// SPDX-License-Identifier: GPL-2.0-or-later
// Activity on its way through JSON, and the rates made of two of them.
#include "watch/rates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watch/rates_json.h"

namespace uvdo {
namespace {

using std::chrono::microseconds;
using ::testing::HasSubstr;

RequestActivity& of(Snapshot& snapshot, RequestKind kind) {
  return snapshot.activity.requests[static_cast<std::size_t>(kind)];
}

/// Two looks, two seconds apart, between which 1000 reads of 4 KiB were answered.
struct Looks {
  Snapshot before;
  Snapshot after;
  Looks() {
    before.activity.uptime_us = 1'000'000;
    after.activity.uptime_us = 3'000'000;
    before.activity.journal_blocks = after.activity.journal_blocks = 1000;
    before.statistics.extra.buffer_bytes = after.statistics.extra.buffer_bytes = 100;
    of(before, RequestKind::read).latencies.add(microseconds(900'000), 50);
    of(after, RequestKind::read) = of(before, RequestKind::read);
    of(after, RequestKind::read).latencies.add(microseconds(100), 1000);
    of(after, RequestKind::read).bytes += 4'096'000;
  }
  [[nodiscard]] Rates rates() const { return rates_between(before, after); }
};

TEST(Rates, AreThoseOfTheTimeBetween) {
  Looks looks;
  looks.after.activity.cpu_us = 500'000;
  looks.after.activity.device.busy_ns = 600'000'000;
  looks.after.activity.device.waited_ns = 3'000'000'000;
  looks.after.statistics.block_map.found_in_cache = 75;
  looks.after.statistics.block_map.pages_loaded = 25;
  const Rates rates = looks.rates();
  EXPECT_DOUBLE_EQ(rates.seconds, 2);
  const RequestRate& reads = rates.of(RequestKind::read);
  EXPECT_DOUBLE_EQ(reads.per_second, 500);
  EXPECT_DOUBLE_EQ(reads.bytes_per_second, 2'048'000);
  EXPECT_EQ(reads.latencies.count(), 1000U);
  EXPECT_NEAR(reads.latencies.percentile(99), 100, 7) << "older latencies are left out";
  EXPECT_DOUBLE_EQ(rates.cpu, 0.25);
  EXPECT_DOUBLE_EQ(rates.device_busy, 0.3);
  EXPECT_DOUBLE_EQ(rates.device_queue, 1.5);
  EXPECT_DOUBLE_EQ(rates.map_misses, 0.25);
}

TEST(Rates, NameWhatHoldsTheVolumeUp) {
  EXPECT_THAT(Looks().rates().bottleneck, HasSubstr("the clients"));
  {
    Looks looks;
    looks.after.activity.requests = looks.before.activity.requests;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("no requests"));
  }
  {
    Looks looks;
    looks.after.activity.thread_cpu_us = 1'900'000;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("the processor"));
  }
  {
    Looks looks;
    looks.after.activity.device.busy_ns = 1'950'000'000;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("the device: busy 98 %"));
    looks.after.statistics.block_map.pages_loaded = 10;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("--cache"));
    looks.after.activity.journal_blocks_in_use = 990;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("the recovery journal"));
    looks.after.statistics.extra.buffer_bytes_in_use = 99;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("--buffers"));
    looks.after.statistics.errors.no_space_error_count = 1;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("no room"));
    looks.after.statistics.extra.suspended = true;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("suspended: requests wait"));
    looks.after.activity = looks.before.activity;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("suspended")) << "also if none come";
    looks.after.statistics.mode = OperatingMode::read_only;
    EXPECT_THAT(looks.rates().bottleneck, HasSubstr("read-only"));
  }
}

TEST(Rates, AreToldAsJson) {
  Looks looks;
  looks.after.activity.fill_seconds = 20;
  Json json = to_json(looks.rates(), looks.after);
  EXPECT_EQ(json["seconds"], looks.rates().seconds);
  EXPECT_EQ(json["requests"]["read"]["perSecond"], looks.rates().of(RequestKind::read).per_second);
  EXPECT_TRUE(json["requests"]["flush"]["us99"].is_null()) << "there were none";
  EXPECT_EQ(json["mode"], "normal");
  EXPECT_EQ(json["space"]["fillSeconds"], 20);
  EXPECT_TRUE(json["space"]["secondsUntilFull"].is_null());
  looks.after.statistics.extra.suspended = true;
  EXPECT_EQ(to_json(looks.rates(), looks.after)["mode"], "suspended");
  looks.after.statistics.mode = OperatingMode::read_only;
  EXPECT_TRUE(to_json(looks.rates(), looks.after)["space"]["roomUsedBytes"].is_null());
}

TEST(Rates, ActivityComesBackFromJson) {
  Looks looks;
  Activity& a = looks.after.activity;
  a.clients = 3;
  a.fill_bytes_per_second = -12.5;
  a.fill_seconds = 20;
  a.until_full = std::chrono::seconds(77);
  a.device.flushes = 9;
  a.watermark = 90;
  const auto json = JsonCodec<Activity>::write(a);
  auto back = JsonCodec<Activity>::read(*parse_json(json_text(json)));
  ASSERT_TRUE(back);
  EXPECT_EQ(JsonCodec<Activity>::write(*back), json);
  EXPECT_EQ(back->until_full, a.until_full);
  EXPECT_EQ(back->of(RequestKind::read).latencies.count(), 1050U);
  for (const char* text :
       {"[]", R"({"uptimeUs": "x"})", R"({"uptimeUs": -1})", R"({"requests": {"read": 1}})",
        R"({"requests": {"read": {"latencies": [[1]]}}})", R"({"device": {"reads": -3}})",
        R"({"requests": {"read": {"latencies": [[1, -2]]}}})"}) {
    EXPECT_FALSE(JsonCodec<Activity>::read(*parse_json(text))) << text;
  }
}

}  // namespace
}  // namespace uvdo
