// SPDX-License-Identifier: GPL-2.0-or-later
// The index as a whole on small geometries, in a simulation.
#include "index/uds_index.h"

#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "base/block_types.h"
#include "device/sim_device.h"
#include "index/testing/numbered_names.h"

namespace uvdo {
namespace {

using test::numbered_data;
using test::numbered_name;

/// Bytes of address space of this process.
std::uint64_t address_space() {
  std::ifstream figures("/proc/self/statm");
  std::uint64_t pages = 0;
  figures >> pages;
  return pages * 4096;
}

constexpr std::uint64_t kStart = 1;
constexpr std::uint64_t kNonce = 0x1234567;

/// A region of a small geometry on a simulated device, and an index on it.
class World {
 public:
  explicit World(const IndexGeometry& geometry, std::uint64_t seed = 1)
      : executor_(SimExecutorOptions{.seed = seed}),
        device_(executor_, (kStart + geometry.region_blocks + 16) * kBlockSize) {
    parameters_.region_start = kStart;
    parameters_.region_blocks = geometry.region_blocks;
    parameters_.nonce = kNonce;
    parameters_.geometry = geometry;
  }
  UdsParameters& parameters() { return parameters_; }
  UdsIndex& index() { return *index_; }
  SimDevice& device() { return device_; }
  SimExecutor& executor() { return executor_; }
  const std::vector<LogLine>& log() const { return log_; }

  void run(Task<void> task) {
    const auto outcome = executor_.run(std::move(task));
    ASSERT_TRUE(outcome) << outcome.why;
  }
  void open(bool create = false) {
    parameters_.create = create;
    auto started = UdsIndex::start(executor_, device_, parameters_,
                                   [this](const LogLine& line) { log_.push_back(line); });
    ASSERT_TRUE(started.ok());
    index_ = std::move(*started);
    run(index_->wait_opened());
  }
  void save() {
    run([](UdsIndex& index) -> Task<void> {
      const auto saved = co_await index.save();
      check(saved.ok(), "a save failed");
    }(*index_));
    index_.reset();
  }
  void close() {
    run(index_->close());
    index_.reset();
  }
  /// Looks up names first..last-1 in batches, and records those that are not found; the number of
  /// those found with the right data.
  std::uint64_t post(std::uint64_t first, std::uint64_t last, std::size_t batch = 32) {
    std::uint64_t found = 0;
    run(post_all(first, last, batch, true, found));
    return found;
  }
  std::uint64_t query(std::uint64_t first, std::uint64_t last, std::size_t batch = 32) {
    std::uint64_t found = 0;
    run(post_all(first, last, batch, false, found));
    return found;
  }
  void settle() { run(index_->wait_written()); }
  /// Looks a batch up, and says how long that took.
  Duration lookup(std::vector<IndexQuery>& queries) {
    const TimePoint before = executor_.now();
    run(index_->lookup(queries));
    return executor_.now() - before;
  }

 private:
  Task<void> post_all(std::uint64_t first, std::uint64_t last, std::size_t batch, bool store,
                      std::uint64_t& found) {
    std::vector<IndexQuery> queries;
    for (std::uint64_t i = first; i < last; i += batch) {
      queries.clear();
      for (std::uint64_t j = i; j < std::min(last, i + batch); ++j) {
        IndexQuery query;
        query.name = numbered_name(j);
        queries.push_back(query);
      }
      co_await index_->lookup(queries);
      for (std::size_t j = 0; j < queries.size(); ++j) {
        if (queries[j].found && queries[j].data == numbered_data(i + j)) ++found;
        if (!queries[j].found && store) index_->record(queries[j], numbered_data(i + j));
      }
      if (store) co_await index_->wait_written();
    }
  }

  SimExecutor executor_;
  SimDevice device_;
  UdsParameters parameters_;
  std::vector<LogLine> log_;
  std::unique_ptr<UdsIndex> index_;
};

IndexGeometry small() { return index_geometry_of(2, 16, 0); }

TEST(UdsIndex, MakesANewIndexWhereThereIsNone) {
  World world(small());
  world.open();
  EXPECT_EQ(world.index().state(), IndexState::online);
  ASSERT_EQ(world.log().size(), 1U);
  EXPECT_NE(world.log()[0].text.find("a new deduplication index is made"), std::string::npos);
  EXPECT_EQ(world.log()[0].level, LogLevel::warning);
  world.save();
}

TEST(UdsIndex, FindsWhatWasRecordedInOpenClosedAndStoredChapters) {
  World world(small());
  world.open(true);
  EXPECT_EQ(world.post(0, 9000), 0U);
  EXPECT_EQ(world.index().newest_chapter(), 4U);
  EXPECT_EQ(world.query(0, 9000), 9000U);
  EXPECT_EQ(world.query(100000, 109000), 0U);
  EXPECT_EQ(world.index().statistics().posts_found, 9000U);
  EXPECT_EQ(world.index().statistics().posts_not_found, 18000U);
  EXPECT_EQ(world.index().statistics().entries_indexed, 9000U);
  world.save();
}

TEST(UdsIndex, KnowsEverythingAgainAfterASave) {
  World world(small());
  world.open(true);
  world.post(0, 9000);
  world.save();
  world.open();
  EXPECT_TRUE(world.log().empty());
  EXPECT_EQ(world.query(0, 9000), 9000U);
  EXPECT_EQ(world.post(9000, 15000), 0U);
  world.save();
  world.open();
  EXPECT_TRUE(world.log().empty());
  EXPECT_EQ(world.query(0, 15000), 15000U);
  world.save();
}

TEST(UdsIndex, RebuildsAllButTheOpenChapterAfterACrash) {
  World world(small());
  world.open(true);
  world.post(0, 9000);
  world.settle();
  world.close();
  world.open();
  ASSERT_FALSE(world.log().empty());
  EXPECT_EQ(world.log().front().level, LogLevel::warning);
  EXPECT_EQ(world.log().back().level, LogLevel::notice);
  EXPECT_EQ(world.index().newest_chapter(), 4U);
  EXPECT_EQ(world.query(0, 4 * 2048), 4 * 2048U);
  EXPECT_EQ(world.query(4 * 2048, 9000), 0U);
  world.save();
}

TEST(UdsIndex, RebuildsFromTheSaveAndTheChaptersWrittenSince) {
  World world(small());
  world.open(true);
  world.post(0, 9000);
  world.save();
  world.open();
  world.post(9000, 15000);
  world.settle();
  world.close();
  world.open();
  ASSERT_FALSE(world.log().empty());
  EXPECT_NE(world.log()[0].text.find("from its last save and chapters 4 to 7"), std::string::npos)
      << world.log()[0].text;
  EXPECT_EQ(world.log()[0].level, LogLevel::notice);
  EXPECT_EQ(world.query(0, 7 * 2048), 7 * 2048U);
  EXPECT_EQ(world.query(7 * 2048, 15000), 0U);
  world.save();
}

TEST(UdsIndex, KeepsTheNewestNamesWhenTheVolumeHasWrapped) {
  World world(small());
  world.open(true);
  const std::uint64_t total = 40 * 2048 + 100;
  world.post(0, total);
  EXPECT_EQ(world.index().newest_chapter(), 40U);
  world.settle();
  world.close();
  world.open();
  EXPECT_EQ(world.index().oldest_chapter(), 25U);
  EXPECT_EQ(world.index().newest_chapter(), 40U);
  // The younger half stays where it is, and what is younger than the window must be there.
  EXPECT_EQ(world.query(33 * 2048, 40 * 2048), 7 * 2048U);
  EXPECT_EQ(world.index().newest_chapter(), 40U);
  world.save();
  world.open();
  EXPECT_EQ(world.query(33 * 2048, 40 * 2048), 7 * 2048U);
  // The older half moves, and so do the ends of the window.
  EXPECT_EQ(world.query(26 * 2048, 27 * 2048), 2048U);
  EXPECT_EQ(world.index().newest_chapter(), 41U);
  EXPECT_EQ(world.query(10 * 2048, 25 * 2048), 0U);
  world.save();
}

TEST(UdsIndex, RemembersNearlyAsManyNamesAsItHasRoomForHoweverManyCome) {
  // bench/index_bench --full does this at full size.
  const IndexGeometry geometry = index_geometry_of(1, 256, 0);
  const std::uint64_t capacity = geometry.chapters * geometry.records_per_chapter;
  World world(geometry);
  world.open(true);
  const std::uint64_t total = 5 * capacity / 2 + 500;
  world.post(0, total);
  // A hit in the older half makes room for itself; so only some names are asked for.
  std::uint64_t asked = 0;
  std::uint64_t found = 0;
  for (std::uint64_t i = total - capacity; i < total; i += 509) {
    ++asked;
    found += world.query(i, i + 1);
  }
  EXPECT_GE(found * 100, asked * 97) << found << " of " << asked;
  world.save();
}

TEST(UdsIndex, MovesOldHitsToTheOpenChapter) {
  World world(small());
  world.open(true);
  world.post(0, 2048);
  std::uint64_t next = 2048;
  for (int round = 0; round < 10; ++round, next += 5 * 2048) {
    world.post(next, next + 5 * 2048);
    EXPECT_EQ(world.query(0, 2048), 2048U) << round;
  }
  world.save();
}

std::vector<IndexQuery> queries_of(std::uint64_t first, std::uint64_t count) {
  std::vector<IndexQuery> queries(count);
  for (std::uint64_t i = 0; i < count; ++i) queries[i].name = numbered_name(first + i);
  return queries;
}

TEST(UdsIndex, ALookupWaitsForASlowDeviceOnlyForSoLong) {
  World world(small());
  world.parameters().lookup_timeout = std::chrono::seconds(5);
  world.open(true);
  world.post(0, 9000);
  world.settle();
  world.save();
  world.open();
  SimFault hang;
  hang.kind = SimFault::Kind::hang;
  hang.writes = hang.flushes = false;
  world.device().add_fault(hang);
  // Two of a chapter on storage, one in the open chapter, one that nobody knows.
  auto queries = queries_of(0, 2);
  queries.push_back(queries_of(8999, 1)[0]);
  queries.push_back(queries_of(100000, 1)[0]);
  const Duration waited = world.lookup(queries);
  EXPECT_GE(waited, std::chrono::seconds(5));
  EXPECT_LT(waited, std::chrono::seconds(6));
  EXPECT_FALSE(queries[0].found || queries[1].found || queries[3].found);
  EXPECT_TRUE(queries[2].found);
  EXPECT_EQ(world.index().timeouts(), 2U);
  // The pages come late; they are not lost, and nobody is answered twice.
  world.device().clear_faults();
  world.device().release_hung(0);
  EXPECT_EQ(world.query(0, 9000), 9000U);
  EXPECT_EQ(world.index().timeouts(), 2U);
  world.save();
}

TEST(UdsIndex, APageThatCannotBeReadIsOnlyNotFound) {
  World world(small());
  world.open(true);
  world.post(0, 9000);
  world.save();
  world.open();
  SimFault broken;
  broken.writes = broken.flushes = false;
  world.device().add_fault(broken);
  EXPECT_EQ(world.query(0, 2048), 0U);
  EXPECT_EQ(world.index().state(), IndexState::online);
  world.device().clear_faults();
  EXPECT_EQ(world.query(0, 9000), 9000U);
  world.save();
}

TEST(UdsIndex, AChapterThatCannotBeWrittenEndsDeduplicationAlone) {
  World world(small());
  world.open(true);
  world.post(0, 2000);
  SimFault broken;
  broken.reads = false;
  world.device().add_fault(broken);
  world.post(2000, 9000);
  world.settle();
  EXPECT_EQ(world.index().state(), IndexState::error);
  ASSERT_FALSE(world.log().empty());
  EXPECT_NE(world.log().back().text.find("deduplication stops: "), std::string::npos);
  EXPECT_EQ(world.log().back().level, LogLevel::error);
  EXPECT_EQ(world.query(0, 9000), 0U);
  world.device().clear_faults();
  world.close();
  // Nothing of it was written, and the next start finds an index all the same.
  world.open();
  EXPECT_EQ(world.index().state(), IndexState::online);
  EXPECT_EQ(world.post(0, 9000), 0U);
  EXPECT_EQ(world.query(0, 9000), 9000U);
  world.save();
}

TEST(UdsIndex, IsKeptWhileItIsSwitchedOff) {
  World world(small());
  world.open(true);
  world.post(0, 5000);
  world.index().set_enabled(false);
  EXPECT_EQ(world.index().state(), IndexState::offline);
  EXPECT_EQ(world.post(0, 6000), 0U);
  world.index().set_enabled(true);
  EXPECT_EQ(world.index().state(), IndexState::online);
  EXPECT_EQ(world.query(0, 6000), 5000U);
  world.index().set_enabled(false);
  world.save();
  world.open();
  EXPECT_TRUE(world.log().empty());
  EXPECT_EQ(world.query(0, 6000), 5000U);
  world.save();
}

TEST(UdsIndex, IsClosedOpenedAgainAndMadeAnewWhileItIsThere) {
  World world(small());
  world.open(true);
  world.post(0, 5000);
  const auto save = [](UdsIndex& index, Result<void>& done) -> Task<void> {
    auto saved = co_await index.save();
    done = std::move(saved);
  };
  const auto create = [](UdsIndex& index, Result<void>& done) -> Task<void> {
    auto created = co_await index.create_anew();
    done = std::move(created);
  };
  Result<void> done;
  EXPECT_FALSE(world.index().reopen().ok()) << "it is not closed";
  world.run(save(world.index(), done));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(world.index().state(), IndexState::closed);
  EXPECT_EQ(world.post(0, 5000), 0U);
  ASSERT_TRUE(world.index().reopen().ok());
  EXPECT_EQ(world.index().state(), IndexState::opening);
  world.run(world.index().wait_opened());
  EXPECT_EQ(world.query(0, 6000), 5000U) << "it was saved, and noted nothing while it was closed";
  EXPECT_TRUE(world.log().empty());

  world.run(save(world.index(), done));
  world.run(create(world.index(), done));
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(world.index().state(), IndexState::online);
  EXPECT_EQ(world.query(0, 6000), 0U);
  world.post(0, 3000);
  world.save();
  world.open();
  EXPECT_EQ(world.query(0, 6000), 3000U);
  world.save();
}

Task<void> make_anew(UdsIndex& index) {
  const auto created = co_await index.create_anew();
  EXPECT_TRUE(created.ok());
}

TEST(UdsIndex, MadeAnewItIsGivenNothingOfTheOldOne) {
  for (const std::uint64_t sparse_chapters : {0UL, 12UL}) {
    const IndexGeometry geometry = index_geometry_of(1, 16, sparse_chapters);
    const std::uint64_t count = 10 * std::uint64_t{geometry.records_per_chapter};
    World world(geometry);
    world.open(true);
    world.post(0, count);
    world.query(0, count);  // brings pages of all its chapters into memory
    world.run(make_anew(world.index()));
    EXPECT_EQ(world.query(0, count), 0U);
    EXPECT_EQ(world.post(100'000, 100'000 + count), 0U);
    world.settle();
    EXPECT_GE(world.query(100'000, 100'000 + count), count * 95 / 100) << sparse_chapters;
    world.save();
  }
}

TEST(UdsIndex, ALookupIsWokenOnceByItsPageOrByItsTimeLimit) {
  // A read takes 4 to 60 us. (The simulation notices who is woken twice.)
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    World world(index_geometry_of(1, 16, 0), seed);
    world.open(true);
    world.post(0, 8192);
    world.save();
    world.parameters().lookup_timeout = std::chrono::microseconds(20 + 6 * seed);
    world.open();
    EXPECT_LE(world.query(0, 8192, 64), 8192U);
    world.save();
  }
}

TEST(UdsIndex, AnswersAtOnceWhenNoPageIsNeeded) {
  World world(small());
  world.open(true);
  world.post(0, 1000);
  auto queries = queries_of(0, 1000);
  auto unknown = queries_of(50000, 1000);
  EXPECT_EQ(world.lookup(queries), Duration{0});
  EXPECT_EQ(world.lookup(unknown), Duration{0});
  EXPECT_TRUE(std::all_of(queries.begin(), queries.end(), [](const auto& q) { return q.found; }));
  world.save();
}

TEST(UdsIndex, StatisticsCountAsTheKernelDoes) {
  World world(small());
  world.open(true);
  world.post(0, 100);
  world.query(0, 150);
  // Advice that turned out to be stale: the new place replaces it.
  auto stale = queries_of(7, 1);
  world.lookup(stale);
  world.index().record(stale[0], numbered_data(4711));
  const IndexStatistics told = world.index().statistics();
  EXPECT_EQ(told.posts_found, 101U);
  EXPECT_EQ(told.posts_not_found, 150U);
  EXPECT_EQ(told.updates_found, 1U);
  EXPECT_EQ(told.updates_not_found, 0U);
  EXPECT_EQ(told.queries_found + told.queries_not_found, 0U);
  EXPECT_EQ(told.entries_indexed, 100U);
  EXPECT_EQ(told.entries_discarded, 0U);
  auto again = queries_of(7, 1);
  world.lookup(again);
  EXPECT_EQ(again[0].data, numbered_data(4711));
  world.save();
}

TEST(UdsIndex, ASparseIndexFindsStreamsThatComeAgainInTheirOrder) {
  // 64 chapters, of which 48 may be sparse.
  World world(index_geometry_of(2, 64, 48));
  world.open(true);
  const std::uint64_t chapter = 2048;
  world.post(0, 60 * chapter);
  // All of this lies in sparse chapters by now.
  const std::uint64_t span = 30 * chapter;
  const std::uint64_t found = world.query(5 * chapter, 5 * chapter + span);
  EXPECT_GE(found, span * 95 / 100) << found << " of " << span;
  world.save();
  world.open();
  EXPECT_GE(world.query(40 * chapter, 43 * chapter), 3 * chapter * 95 / 100);
  world.save();
}

TEST(UdsIndex, GivesItsMemoryBackWhenItIsClosed) {
  World world(*compute_index_geometry(*parse_index_memory("0.25"), false));
  world.open(true);
  EXPECT_EQ(world.post(0, 1000), 0U);
  const std::uint64_t open = address_space();
  world.run([](UdsIndex& index) -> Task<void> {
    const auto saved = co_await index.save();
    EXPECT_TRUE(saved.ok());
  }(world.index()));
  EXPECT_GT(open - address_space(), world.index().memory_needed() * 3 / 4);
  EXPECT_TRUE(world.index().reopen().ok());
  world.run(world.index().wait_opened());
  EXPECT_EQ(world.query(0, 1000), 1000U);
  world.save();
}

}  // namespace
}  // namespace uvdo
