// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/bounded_memory_index.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

IndexQuery query_of(std::uint64_t number) {
  IndexQuery query;
  store_le64(query.name.bytes.data(), number);
  store_le64(query.name.bytes.data() + 8, number * 0x9E3779B97F4A7C15U);
  return query;
}

IndexData data_of(std::uint64_t number) {
  IndexData data{};
  store_le64(data.data(), number);
  return data;
}

// None of the operations waits, so that no executor is needed.
bool looks_up(BoundedMemoryIndex& index, std::uint64_t number, std::uint64_t expected) {
  IndexQuery query = query_of(number);
  spawn(index.lookup({&query, 1}));
  return query.found && query.data == data_of(expected);
}

TEST(BoundedMemoryIndex, FindsWhatWasRecordedAndForgetsTheOldest) {
  BoundedMemoryIndex index(3);
  for (std::uint64_t i = 0; i < 4; ++i) index.record(query_of(i), data_of(i + 100));
  EXPECT_FALSE(looks_up(index, 0, 100));
  for (std::uint64_t i = 1; i < 4; ++i) EXPECT_TRUE(looks_up(index, i, i + 100));
  EXPECT_EQ(index.statistics().entries_indexed, 3U);
  EXPECT_EQ(index.statistics().entries_discarded, 1U);
  EXPECT_EQ(index.statistics().posts_found, 3U);
  EXPECT_EQ(index.statistics().posts_not_found, 1U);
}

TEST(BoundedMemoryIndex, RecordingANameAgainReplacesItsData) {
  BoundedMemoryIndex index(3);
  index.record(query_of(1), data_of(10));
  index.record(query_of(1), data_of(20));
  EXPECT_TRUE(looks_up(index, 1, 20));
  EXPECT_EQ(index.statistics().updates_found, 1U);
}

TEST(BoundedMemoryIndex, AnswersNothingWhileOffline) {
  BoundedMemoryIndex index(3);
  index.record(query_of(1), data_of(10));
  index.set_enabled(false);
  EXPECT_EQ(index.state(), IndexState::offline);
  EXPECT_FALSE(looks_up(index, 1, 10));
  index.set_enabled(true);
  EXPECT_TRUE(looks_up(index, 1, 10));
}

}  // namespace
}  // namespace uvdo
