// SPDX-License-Identifier: GPL-2.0-or-later
// The index in a real second thread, on a small geometry. Also a test for TSan.
#include "volume/remote_index.h"

#include <algorithm>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "async/testing/work_thread_fixture.h"
#include "base/block_types.h"
#include "device/memory_device.h"
#include "index/testing/numbered_names.h"

namespace uvdo {
namespace {

using test::numbered_data;
using test::numbered_name;

class RemoteIndexTest : public test::WorkThreadFixture {
 protected:
  void SetUp() override {
    WorkThreadFixture::SetUp();
    if (HasFatalFailure()) return;
    parameters_.geometry = index_geometry_of(2, 16, 0);
    parameters_.region_start = 1;
    parameters_.region_blocks = parameters_.geometry->region_blocks;
    parameters_.nonce = 99;
    auto device = MemoryDevice::create((parameters_.region_blocks + 17) * kBlockSize);
    ASSERT_TRUE(device.ok());
    device_ = std::move(*device);
  }

  void open(bool create) {
    parameters_.create = create;
    auto index = RemoteIndex::start(*work_, *loop_, *device_, parameters_,
                                    [this](const LogLine& line) { log_.push_back(line); });
    ASSERT_TRUE(index.ok()) << index.error().message();
    index_ = std::move(*index);
    wait_opened();
    ASSERT_EQ(index_->state(), IndexState::online);
  }
  // Clang 14 ends with an error of its own where this is a lambda, or the condition comes first.
  static Task<void> wait_opened(UringLoop& loop, DedupeIndex& index) {
    do {
      co_await loop.yield();
    } while (index.state() == IndexState::opening);
  }
  void wait_opened() { loop_->run(wait_opened(*loop_, *index_)); }
  void save() {
    bool is_saved = false;
    loop_->run([](DedupeIndex& index, bool& saved) -> Task<void> {
      const auto result = co_await index.save();
      saved = result.ok();
    }(*index_, is_saved));
    EXPECT_TRUE(is_saved);
    EXPECT_EQ(index_->state(), IndexState::closed);
  }
  /// Several clients post names first.. each; how many were found with their data.
  std::uint64_t post(std::uint64_t first, std::uint64_t names_each) {
    std::uint64_t found = 0;
    loop_->run([](RemoteIndexTest& self, std::uint64_t from, std::uint64_t each,
                  std::uint64_t& its_found) -> Task<void> {
      TaskGroup clients(*self.loop_);
      for (std::uint64_t i = 0; i < kClients; ++i) {
        clients.start(self.post_some(from + i * each, each, its_found));
      }
      co_await clients.wait();
    }(*this, first, names_each, found));
    return found;
  }
  /// Keeps the work thread from all else until release().
  void occupy() {
    spawn([](WorkThread& work, std::shared_future<void> released) -> Task<void> {
      co_await work.enter();
      released.wait();
      co_await work.leave();
    }(*work_, released_.get_future().share()));
  }
  void release() { released_.set_value(); }

  static constexpr std::uint64_t kClients = 6;
  UdsParameters parameters_;
  std::unique_ptr<MemoryDevice> device_;
  std::unique_ptr<RemoteIndex> index_;
  std::vector<LogLine> log_;
  std::promise<void> released_;

 private:
  Task<void> post_some(std::uint64_t first, std::uint64_t count, std::uint64_t& found) {
    std::array<IndexQuery, 24> queries;
    for (std::uint64_t i = 0; i < count; i += queries.size()) {
      const auto some = std::span(queries).first(std::min(queries.size(), count - i));
      for (std::size_t j = 0; j < some.size(); ++j) some[j].name = numbered_name(first + i + j);
      co_await index_->lookup(some);
      for (std::size_t j = 0; j < some.size(); ++j) {
        if (some[j].found && some[j].data == numbered_data(first + i + j)) ++found;
        if (!some[j].found) index_->record(some[j], numbered_data(first + i + j));
      }
    }
  }
};

TEST_F(RemoteIndexTest, KnowsEverythingAgainAfterItsSave) {
  constexpr std::uint64_t kEach = 2500;  // seven chapters together, half of the window
  open(true);
  EXPECT_EQ(post(0, kEach), 0U);
  // Records are dropped when chapters are closed faster than they are written.
  for (int round = 0; round < 100 && post(0, kEach) < kEach * kClients; ++round) {
  }
  EXPECT_EQ(post(0, kEach), kEach * kClients);
  EXPECT_EQ(index_->statistics().entries_indexed, kEach * kClients);
  EXPECT_EQ(index_->timeouts(), 0U);
  save();
  // Opened again where it is, and by another.
  ASSERT_TRUE(index_->reopen().ok());
  wait_opened();
  EXPECT_EQ(post(0, kEach), kEach * kClients);
  save();
  index_.reset();
  open(false);
  EXPECT_EQ(post(0, kEach), kEach * kClients);
  save();
  EXPECT_TRUE(log_.empty()) << log_.front().text;
}

TEST_F(RemoteIndexTest, AWriterIsNotKeptByAnAnswerThatTakesTooLong) {
  using std::chrono::milliseconds;
  parameters_.lookup_timeout = milliseconds(200);
  open(true);
  EXPECT_EQ(post(0, 10), 0U);
  EXPECT_EQ(post(0, 10), 10 * kClients);
  occupy();
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(post(0, 10), 0U);
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(200));
  EXPECT_EQ(index_->timeouts(), 10 * kClients);
  release();
  // The late answers come to nobody; the save waits for them.
  save();
  EXPECT_EQ(index_->timeouts(), 10 * kClients);
}

TEST_F(RemoteIndexTest, AnswersALoneLookupAtOnceWhenTheThreadSleeps) {
  open(true);
  EXPECT_EQ(post(0, 10), 0U);
  IndexQuery known;
  IndexQuery unknown;
  known.name = numbered_name(3);
  unknown.name = numbered_name(1000000);
  const auto look_up = [](DedupeIndex& index, IndexQuery& query, bool& answered) -> Task<void> {
    co_await index.lookup({&query, 1});
    answered = true;
  };
  // The loop of this thread does not run: who waits for the thread waits for ever.
  bool at_once = false;
  for (int i = 0; i < 1000 && !at_once; ++i) {
    bool is_answered = false;
    spawn(look_up(*index_, known, is_answered));
    at_once = is_answered;
    if (at_once) break;
    loop_->run([](UringLoop& loop, bool& answered) -> Task<void> {
      do {
        co_await loop.yield();
      } while (!answered);
    }(*loop_, is_answered));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(at_once);
  EXPECT_TRUE(known.found);
  EXPECT_EQ(known.data, numbered_data(3));
  at_once = false;
  spawn(look_up(*index_, unknown, at_once));
  EXPECT_TRUE(at_once);
  EXPECT_FALSE(unknown.found);
  save();
}

TEST_F(RemoteIndexTest, CanBeSwitchedOffAndOn) {
  open(true);
  EXPECT_EQ(post(0, 100), 0U);
  index_->set_enabled(false);
  EXPECT_EQ(index_->state(), IndexState::offline);
  EXPECT_EQ(post(0, 200), 0U);
  index_->set_enabled(true);
  EXPECT_EQ(index_->state(), IndexState::online);
  EXPECT_EQ(post(0, 100), 100 * kClients);
  EXPECT_EQ(index_->statistics().entries_indexed, 100 * kClients);
  save();
}

TEST_F(RemoteIndexTest, DropsRecordsRatherThanGatherThemWithoutEnd) {
  open(true);
  occupy();
  IndexQuery query;
  for (std::uint64_t i = 0; i < 70000; ++i) {
    query.name = numbered_name(i);
    index_->record(query, numbered_data(i));
  }
  EXPECT_EQ(index_->dropped_records(), 70000U - 65536U);
  EXPECT_EQ(index_->records_under_way(), 65536U);
  release();
  save();
}

TEST_F(RemoteIndexTest, SaysAtHomeWhatHappens) {
  open(false);
  loop_->run([](UringLoop& loop, const std::vector<LogLine>& log) -> Task<void> {
    do {  // (Clang 14 ends with an error of its own where the condition comes first.)
      co_await loop.yield();
    } while (log.empty());
  }(*loop_, log_));
  EXPECT_NE(log_[0].text.find("a new deduplication index is made"), std::string::npos)
      << log_[0].text;
  save();
}

TEST_F(RemoteIndexTest, DoesNotStartWhereThereIsNoRoom) {
  parameters_.region_blocks -= 1;
  const auto index = RemoteIndex::start(*work_, *loop_, *device_, parameters_, {});
  ASSERT_FALSE(index.ok());
  EXPECT_EQ(index.error().code(), Errc::invalid_argument);
}

/// Far more than fit into a save, also where the two threads get little of the machine.
constexpr std::uint64_t kMostCalls = 2'000'000;

/// Lookups one after the other, each of too many names to be looked up at home.
Task<void> look_up_until(const bool& ended, DedupeIndex& index, UringLoop& loop,
                         std::uint64_t& calls) {
  std::array<IndexQuery, 32> queries;
  while (!ended && calls < kMostCalls) {
    for (IndexQuery& query : queries) query.name = numbered_name(calls);
    co_await index.lookup(queries);
    ++calls;
    co_await loop.yield();
  }
}

TEST_F(RemoteIndexTest, IsClosedUnderLookupsThatNeverPause) {
  open(true);
  bool is_saved = false;
  loop_->run([](DedupeIndex& index, UringLoop& loop, bool& saved) -> Task<void> {
    std::uint64_t calls = 0;
    TaskGroup clients(loop);
    for (int i = 0; i < 4; ++i) clients.start(look_up_until(saved, index, loop, calls));
    while (calls < 100) co_await loop.yield();
    const auto done = co_await index.save();
    saved = done.ok();
    EXPECT_LT(calls, kMostCalls) << "it waited until the clients had enough";
    co_await clients.wait();
  }(*index_, *loop_, is_saved));
  EXPECT_TRUE(is_saved);
  EXPECT_EQ(index_->state(), IndexState::closed);
}

}  // namespace
}  // namespace uvdo
