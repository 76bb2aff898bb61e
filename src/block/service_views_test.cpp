// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/service_views.h"

#include <cstring>

#include <gtest/gtest.h>

#include "async/uring_loop.h"
#include "block/testing/memory_block_service.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

struct Views : ::testing::Test {
  std::unique_ptr<UringLoop> loop = std::move(*UringLoop::create());
  testing::MemoryBlockService memory{*loop, {.size = 4 * kMiB, .buffer_bytes = 8 * kMiB}};
  WindowView window{memory, {.offset = kMiB / 2, .size = 3 * kMiB}};

  Task<Result<void>> write(BlockService& service, std::uint64_t offset, std::size_t size,
                           int with) {
    Buffer buffer = co_await service.buffers().acquire(size);
    std::memset(buffer.data(), with, size);
    co_return co_await service.write(offset, std::move(buffer), Durability::cached);
  }
};

TEST_F(Views, WindowMovesEveryRequest) {
  loop->run([](Views& test) -> Task<void> {
    EXPECT_EQ(test.window.size(), 3 * kMiB);
    EXPECT_TRUE(co_await test.write(test.window, 0, 4096, 1));
    EXPECT_TRUE(co_await test.write(test.window, 3 * kMiB - 4096, 4096, 2));
    std::vector<std::byte> all(4 * kMiB);
    EXPECT_TRUE(co_await test.memory.read(0, all));
    EXPECT_EQ(all[kMiB / 2 - 1], std::byte{0});
    EXPECT_EQ(all[kMiB / 2], std::byte{1});
    EXPECT_EQ(all[kMiB * 7 / 2 - 1], std::byte{2});
    EXPECT_EQ(all[kMiB * 7 / 2], std::byte{0});
    std::vector<std::byte> block(4096);
    EXPECT_TRUE(co_await test.window.read(3 * kMiB - 4096, block));
    EXPECT_EQ(block[0], std::byte{2});
    EXPECT_TRUE(co_await test.window.discard(0, 4096, Durability::cached));
    EXPECT_TRUE(co_await test.memory.read(0, all));
    EXPECT_EQ(all[kMiB / 2], std::byte{0});
    auto extents = co_await test.window.extents(0, 3 * kMiB, 8);
    EXPECT_TRUE(extents);
    EXPECT_EQ(extents->size(), 2U);
    EXPECT_EQ(extents->front().length, 3 * kMiB - 4096);
  }(*this));
}

TEST_F(Views, WindowEndsWhereItEnds) {
  loop->run([](Views& test) -> Task<void> {
    std::vector<std::byte> block(4096);
    const std::uint64_t beyond = 3 * kMiB - 4095;
    EXPECT_EQ((co_await test.window.read(beyond, block)).error().code(), Errc::out_of_range);
    EXPECT_EQ((co_await test.write(test.window, beyond, 4096, 1)).error().code(),
              Errc::out_of_range);
    EXPECT_EQ((co_await test.window.discard(beyond, 4096, Durability::cached)).error().code(),
              Errc::out_of_range);
    EXPECT_EQ((co_await test.window.write_zeroes(~0ULL, 2, ZeroMode::punch, Durability::cached))
                  .error()
                  .code(),
              Errc::out_of_range);
    EXPECT_EQ((co_await test.window.extents(4 * kMiB, 1, 1)).error().code(), Errc::out_of_range);
    EXPECT_EQ(test.memory.counts.reads + test.memory.counts.writes, 0U);
  }(*this));
}

TEST_F(Views, ReadOnlyRefusesWrites) {
  ReadOnlyView view(window);
  loop->run([](Views& test, ReadOnlyView& only) -> Task<void> {
    EXPECT_TRUE(only.is_read_only());
    EXPECT_EQ((co_await test.write(only, 0, 4096, 1)).error().code(), Errc::read_only);
    EXPECT_EQ((co_await only.discard(0, 4096, Durability::cached)).error().code(), Errc::read_only);
    std::vector<std::byte> block(4096);
    EXPECT_TRUE(co_await only.read(0, block));
  }(*this, view));
}

TEST(Window, OfAVolumeHasToBeAPartOfIt) {
  EXPECT_TRUE(check_window({}, kMiB));
  EXPECT_TRUE(check_window({.offset = kMiB - 4096}, kMiB));
  EXPECT_TRUE(check_window({.offset = 4096, .size = kMiB - 4096}, kMiB));
  for (const ServiceWindow& wrong :
       {ServiceWindow{.offset = kMiB}, ServiceWindow{.offset = 2 * kMiB},
        ServiceWindow{.offset = 4096, .size = kMiB}, ServiceWindow{.offset = 4096, .size = 0},
        ServiceWindow{.offset = 512}, ServiceWindow{.offset = 0, .size = 5000},
        ServiceWindow{.offset = 0, .size = ~std::uint64_t{4095}}}) {
    EXPECT_EQ(check_window(wrong, kMiB).error().code(), Errc::invalid_argument);
  }
}

}  // namespace
}  // namespace uvdo
