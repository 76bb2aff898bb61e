// SPDX-License-Identifier: GPL-2.0-or-later
#include "async/buffer_pool.h"

#include <cstdio>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "async/sim_executor.h"

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

}  // namespace
}  // namespace uvdo
