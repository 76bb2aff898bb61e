// SPDX-License-Identifier: GPL-2.0-or-later
// The hour that is remembered: what is in it, what has left it, and how much text it can become.
#include "watch/history.h"

#include <limits>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "async/wait_queue.h"
#include "base/json.h"

namespace uvdo {
namespace {

Task<void> put(Task<std::string> from, std::string& to) { to = co_await std::move(from); }

std::string text_of(const History& history, std::uint64_t after = 0) {
  SimExecutor executor({.seed = 1});
  std::string text;
  EXPECT_TRUE(executor.run(put(history.json(executor, after), text)));
  return text;
}

Json json_of(const History& history, std::uint64_t after = 0) {
  const auto json = parse_json(text_of(history, after));
  EXPECT_TRUE(json.has_value());
  return json.value_or(Json::object());
}

/// Of the column `name` in the sample `number` of an answer.
Json value_of(const Json& json, std::size_t number, std::string_view name) {
  const Json& columns = json["columns"];
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] == name) return json["samples"].at(number).at(i);
  }
  ADD_FAILURE() << "no column " << name;
  return nullptr;
}

void fill(History& history, std::uint64_t samples) {
  for (std::uint64_t i = 0; i < samples; ++i) {
    HistorySample sample;
    sample.end_ms = history.count() + 1;
    history.add(sample);
  }
}

TEST(History, TellsWhatWasBetweenTwoLooks) {
  Snapshot before;
  Snapshot after;
  before.activity.uptime_us = 1'000'000;
  after.activity.uptime_us = 6'000'000;
  after.activity.clients = 3;
  after.activity.device.busy_ns = 2'500'000'000;
  RequestActivity& writes = after.activity.requests[static_cast<std::size_t>(RequestKind::write)];
  writes.latencies.add(std::chrono::microseconds(100), 500);
  writes.bytes = 2'048'000;
  after.statistics.physical_blocks = 1000;
  after.statistics.extra.fixed_overhead_blocks = after.statistics.overhead_blocks_used = 100;
  after.statistics.data_blocks_used = 9;
  History history(7);
  history.add(HistorySample::of(rates_between(before, after), after));
  const Json json = json_of(history);
  EXPECT_EQ(json["id"], 7);
  EXPECT_EQ(json["next"], 1);
  EXPECT_EQ(json["intervalMs"], 5000);
  EXPECT_EQ(json["columns"].size(), json["samples"][0].size());
  EXPECT_EQ(value_of(json, 0, "endMs"), 6000);
  EXPECT_EQ(value_of(json, 0, "spanMs"), 5000);
  EXPECT_EQ(value_of(json, 0, "clients"), 3);
  EXPECT_EQ(value_of(json, 0, "roomBytes"), 900 * 4096);
  EXPECT_EQ(value_of(json, 0, "roomUsedBytes"), 9 * 4096);
  EXPECT_EQ(value_of(json, 0, "deviceBusy"), 0.5);
  EXPECT_EQ(value_of(json, 0, "writePerSecond"), 100);
  EXPECT_EQ(value_of(json, 0, "writeBytesPerSecond"), 409600);
  EXPECT_NEAR(value_of(json, 0, "writeUs99").get<double>(), 100, 7);
  EXPECT_EQ(value_of(json, 0, "readPerSecond"), 0);
  EXPECT_TRUE(value_of(json, 0, "readUs50").is_null()) << "nothing was read: it took no time";
}

TEST(History, DoesNotKnowHowFullARecoveringVolumeIs) {
  Snapshot now;
  now.statistics.mode = OperatingMode::recovering;
  History history(1);
  history.add(HistorySample::of(rates_between(now, now), now));
  EXPECT_TRUE(value_of(json_of(history), 0, "roomUsedBytes").is_null());
}

TEST(History, GivesWhatCameAfterANumber) {
  History history(1);
  EXPECT_EQ(json_of(history)["samples"].size(), 0U);
  fill(history, 10);
  const Json json = json_of(history, 8);
  EXPECT_EQ(json["next"], 10);
  ASSERT_EQ(json["samples"].size(), 2U);
  EXPECT_EQ(value_of(json, 0, "endMs"), 9);
  EXPECT_EQ(json_of(history, 10)["samples"].size(), 0U);
  EXPECT_EQ(json_of(history, 11)["samples"].size(), 10U) << "a number of another history";
  EXPECT_EQ(json_of(history, ~std::uint64_t{0})["samples"].size(), 10U);
}

TEST(History, KeepsTheLastHourAndNoMore) {
  History history(1);
  fill(history, History::kMost + 5);
  const Json json = json_of(history);
  ASSERT_EQ(json["samples"].size(), History::kMost);
  EXPECT_EQ(value_of(json, 0, "endMs"), 6);
  EXPECT_EQ(value_of(json, History::kMost - 1, "endMs"), History::kMost + 5);
  EXPECT_EQ(History::kInterval * History::kMost, std::chrono::hours(1));
}

TEST(History, IsNoLongerTextThanIsPromised) {
  HistorySample largest;
  largest.end_ms = largest.room_bytes = std::numeric_limits<std::uint64_t>::max();
  largest.room_used_bytes = HistorySample::kUnknown - 1;
  largest.span_ms = largest.clients = std::numeric_limits<std::uint32_t>::max();
  largest.device_busy = 1.23456e-38F;
  largest.requests.fill({1.23456e-38F, 1.23456e-38F, 1.23456e-38F, 1.23456e-38F});
  History history(std::numeric_limits<std::uint64_t>::max());
  for (std::size_t i = 0; i < History::kMost; ++i) history.add(largest);
  EXPECT_LE(text_of(history).size(), History::kMostText);
}

Task<void> add_one(History& history) {
  fill(history, 1);
  co_return;
}

Task<void> ask_meanwhile(SimExecutor& executor, History& history, std::string& text) {
  TaskGroup others(executor);
  auto asking = history.json(executor, 0);
  others.start(put(std::move(asking), text));
  for (int i = 0; i < 3; ++i) {
    others.start(add_one(history));
    co_await executor.yield();
  }
  co_await others.wait();
}

TEST(History, IsConsistentWhenItGrowsWhileItIsTold) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    History history(1);
    fill(history, History::kMost);
    SimExecutor executor({.seed = seed, .turn_units = 1});
    std::string text;
    ASSERT_TRUE(executor.run(ask_meanwhile(executor, history, text)));
    const auto json = parse_json(text);
    ASSERT_TRUE(json.has_value());
    std::uint64_t last = 0;
    for (const Json& sample : (*json)["samples"]) {
      EXPECT_GT(sample[0].get<std::uint64_t>(), last);
      last = sample[0].get<std::uint64_t>();
    }
    EXPECT_EQ(last, (*json)["next"].get<std::uint64_t>());
  }
}

}  // namespace
}  // namespace uvdo
