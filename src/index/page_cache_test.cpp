// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/page_cache.h"

#include <gtest/gtest.h>

#include "base/aligned_memory.h"
#include "device/testing/willing_disk.h"
#include "index/bit_string.h"
#include "index/open_chapter.h"
#include "index/testing/numbered_names.h"

namespace uvdo {
namespace {

using Page = PageCache::Page;
using State = PageCache::State;

constexpr std::uint64_t kPages = 16;
constexpr std::uint64_t kNonce = 31;

class PageCacheTest : public ::testing::Test {
 protected:
  /// A record page of chapter 0; the page of a number lies at its place of the disk.
  [[nodiscard]] PageCache::Key key(std::uint32_t number) const {
    return {0, geometry.index_pages_per_chapter + number};
  }
  static std::uint64_t offset(std::uint32_t number) { return number * kIndexPageSize; }
  Page* load(PageCache& cache, std::uint32_t number) {
    return cache.load(key(number), offset(number));
  }
  PageCache make(std::uint32_t pages) {
    return {executor, disk, geometry, pages, [this](ParkingLot lot) {
              while (PendingQuery* one = lot.take()) {
                served.push_back(one->query);
                if (on_served) on_served();
              }
            }};
  }
  PendingQuery& query(std::uint32_t number) {
    queries[number].query = number;
    return queries[number];
  }
  /// The page of a number begins with that.
  static unsigned number_of(const Page& page) { return std::to_integer<unsigned>(page.bytes()[0]); }

  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run([](PageCacheTest& self, Body& what) -> Task<void> {
      co_await self.fill_disk();
      co_await what();
    }(*this, body));
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_EQ(disk.misuse(), "");
  }
  Task<void> fill_disk() {
    AlignedMemory block(kBlockSize);
    for (std::uint32_t number = 0; number < kPages; ++number) {
      block.data()[0] = static_cast<std::byte>(number);
      EXPECT_TRUE((co_await disk.write(offset(number), block.bytes())).ok());
    }
  }
  [[nodiscard]] std::uint64_t reads() const { return disk.count_of(Device::Op::read); }

  const IndexGeometry geometry = index_geometry_of(2, 16, 0);
  SimExecutor executor{{.seed = 1}};
  SimDevice disk{executor, kPages* kIndexPageSize, testing::kAnswersAtOnce};
  std::array<PendingQuery, 4> queries;
  std::vector<std::uint32_t> served;
  std::function<void()> on_served;
};

TEST_F(PageCacheTest, APageThatSeveralWantIsReadOnceAndAllAreServedWhenItHasCome) {
  run([this]() -> Task<void> {
    PageCache cache = make(2);
    disk.add_fault(testing::hanging(Device::Op::read));
    Page* page = load(cache, 3);
    EXPECT_EQ(page->state, State::loading);
    page->waiting.park(query(0));
    EXPECT_EQ(cache.find(key(3)), page);
    page->waiting.park(query(1));
    EXPECT_TRUE(served.empty());
    disk.release_hung(0);
    co_await cache.wait_idle();
    EXPECT_EQ(served, (std::vector<std::uint32_t>{0, 1}));
    EXPECT_EQ(page->state, State::ready);
    EXPECT_EQ(number_of(*page), 3U);
    EXPECT_EQ(reads(), 1U);
  });
}

TEST_F(PageCacheTest, ThePageThatWasNotUsedForLongestGivesWay) {
  run([this]() -> Task<void> {
    PageCache cache = make(2);
    load(cache, 1);
    load(cache, 2);
    EXPECT_NE(cache.find(key(1)), nullptr);
    load(cache, 3);
    EXPECT_EQ(cache.find(key(2)), nullptr);
    EXPECT_EQ(number_of(*cache.find(key(1))), 1U);
    EXPECT_EQ(number_of(*cache.find(key(3))), 3U);
    co_return;
  });
}

TEST_F(PageCacheTest, APageThatIsBeingReadDoesNotGiveWayAndWhoFindsNoRoomIsServedBehindIt) {
  run([this]() -> Task<void> {
    PageCache cache = make(1);
    disk.add_fault(testing::hanging(Device::Op::read));
    Page* page = load(cache, 1);
    EXPECT_EQ(load(cache, 2), nullptr);
    cache.waiting_for_room().park(query(2));
    const std::vector<std::byte> written(kIndexPageSize);
    cache.insert(key(2), written);
    EXPECT_EQ(cache.find(key(2)), nullptr) << "what was written is only kept where there is room";
    disk.clear_faults();
    disk.release_hung(0);
    co_await cache.wait_idle();
    EXPECT_EQ(served, std::vector<std::uint32_t>{2});
    EXPECT_EQ(load(cache, 2), page);
  });
}

TEST_F(PageCacheTest, APageStaysAsItIsWhileThoseWhoWaitedForItAreServed) {
  run([this]() -> Task<void> {
    PageCache cache = make(1);
    disk.add_fault(testing::hanging(Device::Op::read));
    Page* page = load(cache, 1);
    page->waiting.park(query(0));
    on_served = [&] {
      EXPECT_EQ(load(cache, 2), nullptr);
      EXPECT_EQ(number_of(*page), 1U);
    };
    disk.clear_faults();
    disk.release_hung(0);
    co_await cache.wait_idle();
    EXPECT_EQ(served.size(), 1U);
    EXPECT_NE(load(cache, 2), nullptr);
  });
}

TEST_F(PageCacheTest, APageThatCannotBeReadIsEmptyForThoseWhoWaitAndIsReadAgainForOthers) {
  run([this]() -> Task<void> {
    PageCache cache = make(2);
    disk.add_fault(testing::failing(Device::Op::read));
    Page* page = load(cache, 5);
    EXPECT_EQ(page->state, State::ready);
    EXPECT_EQ(number_of(*page), 0U);
    EXPECT_EQ(cache.read_errors(), 1U);
    EXPECT_EQ(cache.find(key(5)), nullptr);
    disk.clear_faults();
    EXPECT_EQ(number_of(*load(cache, 5)), 5U);
    co_return;
  });
}

TEST_F(PageCacheTest, AnIndexPageIsUnderstoodOnceAndOnlyIfItIsOfItsChapterAndIndex) {
  run([this]() -> Task<void> {
    OpenChapter chapter{geometry.records_per_chapter};
    for (std::uint32_t i = 0; i < geometry.records_per_chapter; ++i) {
      chapter.put(test::numbered_name(i), test::numbered_data(i));
    }
    std::vector<std::byte> pages(geometry.index_pages_per_chapter * kIndexPageSize + kBitSlack);
    std::vector<std::uint16_t> last_lists(geometry.index_pages_per_chapter - 1);
    ChapterIndexRoom room{geometry};
    co_await encode_chapter_index(executor, geometry, kNonce, 5, chapter.records(), pages,
                                  last_lists, room);
    const ConstBytes first = ConstBytes(pages).first(kIndexPageSize);
    PageCache cache = make(4);
    cache.set_nonce(kNonce);
    cache.insert({5, 0}, first);
    cache.insert({6, 0}, first);
    EXPECT_TRUE(cache.find({5, 0})->header.has_value());
    EXPECT_TRUE(std::ranges::equal(cache.find({5, 0})->bytes(), first));
    EXPECT_FALSE(cache.find({6, 0})->header.has_value());
    EXPECT_EQ(reads(), 0U) << "what was just written need not be read";
    cache.forget_all();
    EXPECT_EQ(cache.find({5, 0}), nullptr);
    cache.set_nonce(kNonce + 1);
    cache.insert({5, 0}, first);
    EXPECT_FALSE(cache.find({5, 0})->header.has_value());
  });
}

}  // namespace
}  // namespace uvdo
