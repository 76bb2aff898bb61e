// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/buffer_pool.h"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "async/wait_queue.h"

namespace uvdo {
namespace {

// More than any address space holds.
constexpr std::uint64_t kTooMuch = 1ULL << 50U;

TEST(BufferPoolDeathTest, EndsAsTheProgramSaysWhenThereIsNoMemory) {
  EXPECT_EXIT(
      {
        std::set_new_handler([] {
          std::fputs("not enough memory\n", stderr);
          std::_Exit(3);
        });
        SimExecutor executor({.seed = 1});
        const BufferPool pool(executor, kTooMuch);
      },
      testing::ExitedWithCode(3), "not enough memory");
}

TEST(BufferPool, ThrowsWhenThereIsNoMemoryAndNobodyToTell) {
  SimExecutor executor({.seed = 1});
  EXPECT_THROW(BufferPool(executor, kTooMuch), std::bad_alloc);
}

TEST(BufferPool, LendsMemoryThatItWasGiven) {
  SimExecutor executor({.seed = 1});
  const std::uint64_t bytes = BufferPool::bytes_for(1);
  EXPECT_EQ(bytes, (4U + 32U + 128U) << 10U) << "one of each size";
  PageMemory memory(bytes);
  BufferPool pool(executor, 1, memory.bytes());
  EXPECT_EQ(pool.capacity(), bytes);
  for (const std::size_t size : BufferPool::kSizes) {
    const Buffer buffer = pool.try_acquire(size);
    EXPECT_GE(buffer.data(), memory.data());
    EXPECT_LE(buffer.data() + size, memory.data() + bytes);
  }
}

Task<void> borrow(BufferPool& pool, std::vector<Buffer>& got) {
  got.push_back(co_await pool.acquire(BufferPool::kLargest));
}

TEST(BufferPool, BuffersComeInTheOrderInWhichTheyWereAskedFor) {
  SimExecutor executor({.seed = 2});
  BufferPool pool(executor, 1);  // one of each size
  std::vector<Buffer> got;
  const auto outcome =
      executor.run([](SimExecutor& on, BufferPool& from, std::vector<Buffer>& all) -> Task<void> {
        Buffer first = co_await from.acquire(BufferPool::kLargest);
        TaskGroup group(on);
        for (int i = 0; i < 2; ++i) group.start(borrow(from, all));
        co_await on.yield();
        EXPECT_TRUE(all.empty());
        EXPECT_TRUE(from.is_short());
        first = Buffer();
        EXPECT_EQ(from.try_acquire(1U << 17U).data(), nullptr) << "it belongs to who waits";
        while (all.empty()) co_await on.yield();
        EXPECT_EQ(all.size(), 1U);
        all.clear();
        co_await group.wait();
      }(executor, pool, got));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_EQ(pool.shortages(), 2U);
  got.clear();
  EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(BufferPool, NobodyWaitsWhileItRefuses) {
  SimExecutor executor({.seed = 3});
  BufferPool pool(executor, 1);
  std::vector<Buffer> got;
  const auto outcome =
      executor.run([](SimExecutor& on, BufferPool& from, std::vector<Buffer>& all) -> Task<void> {
        const Buffer first = co_await from.acquire(BufferPool::kLargest);
        TaskGroup group(on);
        group.start(borrow(from, all));
        from.set_refusing(true);
        group.start(borrow(from, all));
        co_await group.wait();
        const Buffer small = co_await from.acquire(1);
        EXPECT_NE(small.data(), nullptr) << "what is there is given";
      }(executor, pool, got));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  ASSERT_EQ(got.size(), 2U);
  for (const Buffer& buffer : got) EXPECT_EQ(buffer.data(), nullptr);
}

}  // namespace
}  // namespace uvdo
