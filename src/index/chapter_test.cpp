// SPDX-License-Identifier: GPL-2.0-or-later
// The way of a chapter: records gather in the open one, and are written as record pages and an
// index that leads from a name to its record page.
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "index/bit_string.h"
#include "index/chapter_index.h"
#include "index/open_chapter.h"
#include "index/record_page.h"
#include "index/testing/numbered_names.h"

namespace uvdo {
namespace {

using test::numbered_data;
using test::numbered_name;

constexpr std::uint64_t kChapterNonce = 31;
constexpr std::uint64_t kChapter = 5;
constexpr std::uint32_t kRecordsPerPage = 1024;

/// A full chapter of numbered names, and its index pages.
class ChapterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint32_t i = 0; i < geometry.records_per_chapter; ++i) {
      chapter.put(numbered_name(i), numbered_data(i));
    }
    pages.resize(geometry.index_pages_per_chapter * kIndexPageSize + kBitSlack);
    last_lists.resize(geometry.index_pages_per_chapter - 1);
    SimExecutor executor({.seed = 1});
    const auto outcome = executor.run([](ChapterTest& test, Executor& with) -> Task<void> {
      test.left_out = co_await encode_chapter_index(with, test.geometry, kChapterNonce, kChapter,
                                                    test.chapter.records(), test.pages,
                                                    test.last_lists, test.room);
    }(*this, executor));
    ASSERT_TRUE(outcome.finished) << outcome.why;
  }

  [[nodiscard]] MutableBytes index_page(std::uint32_t number) {
    return MutableBytes(pages).subspan(number * kIndexPageSize, kIndexPageSize);
  }
  /// The record page that the index names for a name, by way of the one index page with its list.
  [[nodiscard]] std::optional<std::uint32_t> find(const RecordName& name) {
    const ChapterPlace place = chapter_place_of(geometry, name);
    for (std::uint32_t i = 0; i < geometry.index_pages_per_chapter; ++i) {
      const auto header = decode_index_page(index_page(i), kChapterNonce);
      if (header && header->has(place.list)) {
        return find_in_index_page(geometry, index_page(i), *header, place, name);
      }
    }
    return std::nullopt;
  }

  const IndexGeometry geometry = index_geometry_of(2, 16, 0);
  OpenChapter chapter{geometry.records_per_chapter};
  std::vector<std::byte> pages;
  std::vector<std::uint16_t> last_lists;
  ChapterIndexRoom room{geometry};
  std::uint64_t left_out = 0;
};

TEST_F(ChapterTest, TheOpenOneFindsWhatWasPutInAndTakesNewDataForAName) {
  EXPECT_TRUE(chapter.is_full());
  EXPECT_EQ(*chapter.find(numbered_name(17)), numbered_data(17));
  EXPECT_EQ(chapter.find(numbered_name(geometry.records_per_chapter)), nullptr);
  OpenChapter other(2);
  other.put(numbered_name(1), numbered_data(1));
  other.put(numbered_name(1), numbered_data(2));
  EXPECT_EQ(other.size(), 1U);
  EXPECT_EQ(*other.find(numbered_name(1)), numbered_data(2));
}

TEST_F(ChapterTest, ItsIndexLeadsToTheRecordPageOfEveryName) {
  EXPECT_EQ(left_out, 0U);
  for (std::uint32_t i = 0; i < geometry.records_per_chapter; ++i) {
    ASSERT_EQ(find(numbered_name(i)), i / kRecordsPerPage) << "record " << i;
  }
}

TEST_F(ChapterTest, ItsIndexKnowsFewNamesThatAreNotInIt) {
  // It has no whole names: only the record page can tell.
  unsigned found = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    if (find(numbered_name(geometry.records_per_chapter + i))) ++found;
  }
  EXPECT_LT(found, 50U);
}

TEST_F(ChapterTest, AnIndexPageOfAnotherVolumeIsNone) {
  EXPECT_TRUE(decode_index_page(index_page(0), kChapterNonce));
  EXPECT_FALSE(decode_index_page(index_page(0), kChapterNonce + 1));
}

TEST_F(ChapterTest, TheListsOfEveryPageAreSoundAndThoseOfADamagedOneHarmNobody) {
  for (std::uint32_t i = 0; i < geometry.index_pages_per_chapter; ++i) {
    const auto header = decode_index_page(index_page(i), kChapterNonce);
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->chapter, kChapter);
    EXPECT_TRUE(are_lists_sound(geometry, index_page(i), *header));
  }
  // Behind the header and the offsets of lists everything is theirs.
  for (std::size_t at = kIndexPageSize / 2; at < kIndexPageSize; ++at) pages[at] = std::byte{0xFF};
  for (std::uint32_t i = 0; i < geometry.records_per_chapter; ++i) {
    const auto page = find(numbered_name(i));
    EXPECT_LT(page.value_or(0), geometry.record_pages_per_chapter);
  }
}

TEST_F(ChapterTest, ARecordPageGivesTheDataOfItsNamesAlone) {
  std::vector<std::byte> page(kIndexPageSize);
  encode_record_page(chapter.records().first(kRecordsPerPage), page);
  for (std::uint64_t i = 0; i < kRecordsPerPage; ++i) {
    ASSERT_EQ(find_in_record_page(page, numbered_name(i)), numbered_data(i));
  }
  EXPECT_FALSE(find_in_record_page(page, numbered_name(kRecordsPerPage)));
}

}  // namespace
}  // namespace uvdo
