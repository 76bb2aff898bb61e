// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/work_batches.h"

#include <coroutine>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/testing/work_thread_fixture.h"
#include "async/wait_queue.h"

namespace uvdo {
namespace {

/// Where a piece was done, and where its owner went on.
struct Done {
  pid_t at = 0;
  pid_t back = 0;
  int times = 0;
};

/// co_await Share(batches, work): calls work() as a piece.
template <class Work>
class Share : WorkBatches::Piece {
 public:
  Share(WorkBatches& batches, Work what) : batches_(batches), what_(std::move(what)) {
    work = [](Piece& piece) { static_cast<Share&>(piece).what_(); };
    back = [](Piece& piece) {
      auto& share = static_cast<Share&>(piece);
      share.batches_.home().post(share.waiter_);
    };
  }
  bool await_ready() {
    if (batches_.wants_next()) {
      batches_.add(*this);
      return false;
    }
    what_();
    return true;
  }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  static void await_resume() noexcept {}

 private:
  WorkBatches& batches_;
  Work what_;
  std::coroutine_handle<> waiter_{};
};

class WorkBatchesTest : public test::WorkThreadFixture {
 protected:
  /// `together` pieces in a turn, `rounds` times.
  std::vector<Done> share(std::size_t together, std::size_t rounds) {
    std::vector<Done> all(together * rounds);
    loop_->run([](UringLoop& loop, WorkBatches& batches, std::vector<Done>& done,
                  std::size_t count) -> Task<void> {
      const auto one = [](WorkBatches& where, Done& mine) -> Task<void> {
        co_await Share(where, [&mine] {
          mine.at = gettid();
          ++mine.times;
        });
        mine.back = gettid();
      };
      for (std::size_t first = 0; first < done.size(); first += count) {
        TaskGroup group(loop);
        for (std::size_t i = 0; i < count; ++i) group.start(one(batches, done[first + i]));
        co_await group.wait();
        co_await loop.turn_end();
        co_await loop.yield();  // in the next turn
      }
    }(*loop_, work_->batches(), all, together));
    return all;
  }
};

TEST_F(WorkBatchesTest, EachPieceIsDoneOnceAndItsOwnerGoesOnAtHome) {
  for (const std::size_t together : {1U, 15U, 16U, 17U, 24U, 48U, 49U, 300U}) {
    for (const Done& done : share(together, 20)) {
      ASSERT_EQ(done.times, 1) << together;
      ASSERT_EQ(done.back, gettid()) << together;
    }
  }
}

TEST_F(WorkBatchesTest, OfManyBothThreadsDoSome) {
  std::set<pid_t> threads;
  for (const Done& done : share(300, 20)) threads.insert(done.at);
  EXPECT_EQ(threads.size(), 2U);
}

TEST_F(WorkBatchesTest, FewAreDoneByTheirOwners) {
  for (const Done& done : share(16, 20)) ASSERT_EQ(done.at, gettid());
}

TEST_F(WorkBatchesTest, OwnersMayComeWithTheNextPieceAtOnce) {
  std::uint64_t sum = 0;
  loop_->run([](UringLoop& loop, WorkBatches& batches, std::uint64_t& total) -> Task<void> {
    const auto client = [](WorkBatches& where, std::uint64_t& all) -> Task<void> {
      for (std::uint64_t i = 1; i <= 1000; ++i) {
        std::uint64_t made = 0;
        co_await Share(where, [&made, i] { made = i; });
        all += made;
      }
    };
    TaskGroup clients(loop);
    for (int i = 0; i < 100; ++i) clients.start(client(batches, total));
    co_await clients.wait();
  }(*loop_, work_->batches(), sum));
  EXPECT_EQ(sum, 100U * 500500U);
}

}  // namespace
}  // namespace uvdo
