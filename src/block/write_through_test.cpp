// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/write_through.h"

#include <gtest/gtest.h>

#include "async/uring_loop.h"
#include "block/testing/memory_block_service.h"

namespace uvdo {
namespace {

/// Writes, discards and writes zeros; how many of these were made with FUA.
Task<std::uint64_t> fua_of_three(WriteThroughView& view, testing::MemoryBlockService& memory,
                                 Durability durability) {
  const std::uint64_t before = memory.counts.fua_writes;
  Buffer buffer = co_await view.buffers().acquire(4096);
  EXPECT_TRUE(co_await view.write(0, std::move(buffer), durability));
  EXPECT_TRUE(co_await view.discard(0, 4096, durability));
  EXPECT_TRUE(co_await view.write_zeroes(0, 4096, ZeroMode::mapped, durability));
  co_return memory.counts.fua_writes - before;
}

TEST(WriteThroughView, SwitchedOnEveryChangeIsStableWhenAnswered) {
  auto loop = std::move(*UringLoop::create());
  testing::MemoryBlockService memory{*loop, {.size = 1U << 20U, .buffer_bytes = 1U << 20U}};
  WriteThroughView view(memory, false);
  loop->run([](WriteThroughView& seen, testing::MemoryBlockService& beneath) -> Task<void> {
    EXPECT_EQ(co_await fua_of_three(seen, beneath, Durability::cached), 0U);
    EXPECT_EQ(co_await fua_of_three(seen, beneath, Durability::fua), 3U);
    seen.switch_to(true);
    EXPECT_TRUE(seen.is_on());
    EXPECT_EQ(co_await fua_of_three(seen, beneath, Durability::cached), 3U);
    seen.switch_to(false);
    EXPECT_EQ(co_await fua_of_three(seen, beneath, Durability::cached), 0U);
  }(view, memory));
}

}  // namespace
}  // namespace uvdo
