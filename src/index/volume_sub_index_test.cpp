// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/volume_sub_index.h"

#include <random>
#include <unordered_map>

#include <gtest/gtest.h>

namespace uvdo {
namespace {

SubIndexGeometry small_geometry(std::uint64_t records, std::uint64_t chapters) {
  SubIndexGeometry g;
  g.records_per_chapter = records;
  g.chapters = chapters;
  g.rounded_chapters = chapters + chapters % 2;
  g.lists =
      static_cast<std::uint32_t>(std::max<std::uint64_t>(records * g.rounded_chapters / 256, 256));
  g.address_bits = 20;
  g.chapter_bits = index_bits(g.rounded_chapters - 1);
  g.total_chapters = g.rounded_chapters + std::max<std::uint64_t>(g.rounded_chapters / 256, 2);
  g.mean_delta = (std::uint64_t{g.lists} << 20U) / (records * g.total_chapters);
  g.code = delta_code_of(g.mean_delta);
  return g;
}

/// Numbered names of which many share their place: only `spread` bits of the place vary.
RecordName name_of(std::uint64_t number, unsigned spread) {
  const auto mixed = [](std::uint64_t x) {
    x = (x ^ x >> 30U) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27U) * 0x94D049BB133111EBU;
    return x ^ x >> 31U;
  };
  const std::uint64_t x = mixed(number + 0x9E3779B97F4A7C15U);
  RecordName name;
  store_be64(name.bytes.data(), (x & low_bits(spread)) * 0x9E3779B97F4A7C15U);
  store_be64(name.bytes.data() + 8, mixed(x) ^ number);
  return name;
}

/// Random posts against a plain map: what is there must be found in the right chapter unless it
/// has left the window; what is not there may match by place alone, never as a collision.
void run_against_model(std::uint64_t records, std::uint64_t chapters, unsigned spread,
                       std::uint64_t operations, std::uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const SubIndexGeometry geometry = small_geometry(records, chapters);
  VolumeSubIndex index(geometry);
  std::mt19937_64 random(seed);
  std::unordered_map<std::uint64_t, std::uint64_t> model;  // number -> chapter
  std::uint64_t in_chapter = 0;
  std::uint64_t lost = 0;
  const std::uint64_t numbers = records * chapters * 2;
  for (std::uint64_t i = 0; i < operations; ++i) {
    const std::uint64_t number = random() % numbers;
    const RecordName name = name_of(number, spread);
    const VolumeSubIndex::Place place = index.place_of(name);
    const bool in_one_walk = i % 2 == 0;
    const VolumeSubIndex::Match match =
        in_one_walk ? index.find_or_put(place, name, index.high()) : index.find(place, name);
    const auto known = model.find(number);
    const bool is_known = known != model.end() && known->second >= index.low();
    if (match.kind != VolumeSubIndex::Kind::none) {
      ASSERT_GE(match.chapter, index.low());
      ASSERT_LE(match.chapter, index.high());
    }
    if (match.kind == VolumeSubIndex::Kind::collision) {
      ASSERT_TRUE(is_known);
      ASSERT_EQ(match.chapter, known->second);
    }
    // With the names in a map we know what a search of the chapter would tell: whether the plain
    // entry is ours.
    const bool ours =
        match.kind == VolumeSubIndex::Kind::plain && is_known && match.chapter == known->second;
    if (is_known && match.kind == VolumeSubIndex::Kind::none) ++lost;
    if (match.kind == VolumeSubIndex::Kind::none && in_one_walk) {
      ASSERT_EQ(index.find(place, name).chapter, index.high());
    } else if (match.kind == VolumeSubIndex::Kind::none || ours) {
      index.put_plain(place, index.high());
    } else {
      index.put_collision(place, name, index.high());
    }
    model[number] = index.high();
    if (++in_chapter == records) {
      in_chapter = 0;
      index.advance_to(index.high() + 1);
    }
  }
  index.validate();
  EXPECT_EQ(lost, 0U);
  std::uint64_t missing = 0;
  std::uint64_t live = 0;
  for (const auto& [number, chapter] : model) {
    if (chapter < index.low()) continue;
    ++live;
    const RecordName name = name_of(number, spread);
    const VolumeSubIndex::Match match = index.find(index.place_of(name), name);
    if (match.kind == VolumeSubIndex::Kind::none) ++missing;
  }
  EXPECT_EQ(missing, 0U) << "of " << live;
  EXPECT_LE(index.entries(), live + 2 * records * (chapters / 64 + 1));
}

TEST(VolumeSubIndex, FindsAllOfTheWindowWhileChapterNumbersWrap) {
  run_against_model(1024, 64, 63, 1500000, 1);
}

TEST(VolumeSubIndex, KeepsNamesOfCollisions) { run_against_model(1024, 16, 14, 800000, 2); }

TEST(VolumeSubIndex, WorksWithAnOddNumberOfChapters) { run_against_model(1024, 63, 63, 500000, 3); }

TEST(VolumeSubIndex, WorksWithVeryFewChapters) { run_against_model(512, 8, 63, 400000, 4); }

TEST(VolumeSubIndex, RememberedChaptersAreTheNewestOfTheWindow) {
  VolumeSubIndex index(small_geometry(1024, 1024));
  EXPECT_EQ(index.window(), 1008U);
  index.advance_to(2000);
  EXPECT_EQ(index.low(), 2000U - 1007U);
  EXPECT_EQ(index.high(), 2000U);
}

TEST(VolumeSubIndex, ForgetsNothingBeforeARangeThatStartsLateIsAsLongAsTheWindow) {
  VolumeSubIndex index(small_geometry(1024, 64));
  index.set_range(1000, 1000);
  index.advance_to(1000 + index.window() - 1);
  EXPECT_EQ(index.low(), 1000U);
  index.advance_to(1000 + index.window());
  EXPECT_EQ(index.low(), 1001U);
}

TEST(VolumeSubIndex, ReadsListsThatLoadAgainTheSame) {
  VolumeSubIndex index(small_geometry(1024, 64));
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const RecordName name = name_of(i, i % 3 == 0 ? 12 : 63);
    const auto place = index.place_of(name);
    if (index.find(place, name).kind == VolumeSubIndex::Kind::none) {
      index.put_plain(place, index.high());
    } else {
      index.put_collision(place, name, index.high());
    }
    if (i % 1024 == 1023) index.advance_to(index.high() + 1);
  }
  EXPECT_GT(index.collisions(), 1000U);
  VolumeSubIndex copy(index.geometry());
  copy.set_range(index.low(), index.high());
  std::vector<VolumeSubIndex::Entry> entries;
  for (std::uint32_t list = 0; list < index.geometry().lists; ++list) {
    entries.clear();
    index.read_list(list, index.low(), entries);
    if (!entries.empty()) copy.load_list(list, entries);
  }
  copy.finish_load();
  copy.validate();
  std::uint64_t found = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const RecordName name = name_of(i, i % 3 == 0 ? 12 : 63);
    const auto place = index.place_of(name);
    const auto expected = index.find(place, name);
    const auto actual = copy.find(place, name);
    if (actual.kind != VolumeSubIndex::Kind::none) ++found;
    // A plain entry that had expired makes way for one of its collision entries.
    const bool is_plain = expected.kind == VolumeSubIndex::Kind::plain;
    if (is_plain) {
      ASSERT_EQ(actual.kind, expected.kind);
    }
    if (actual.kind == expected.kind) {
      ASSERT_EQ(actual.chapter, expected.chapter);
    }
  }
  EXPECT_GT(found, 50000U);
}

TEST(VolumeSubIndex, DropsEntriesWhenAllNamesFallIntoOnePlace) {
  VolumeSubIndex index(small_geometry(1024, 64));
  std::uint64_t made = 0;
  for (std::uint32_t i = 0; i < 60000; ++i) made += index.put_plain({7, i}, 0) ? 1 : 0;
  index.validate();
  EXPECT_GT(made, 60U);
  EXPECT_EQ(made + index.overflows(), 60000U);
}

}  // namespace
}  // namespace uvdo
