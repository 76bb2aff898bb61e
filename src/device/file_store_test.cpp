// SPDX-License-Identifier: GPL-2.0-or-later
// What both kinds of files have in common: discards, zeros, sizes, the account.
#include "device/file_store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/aligned_memory.h"
#include "device/blocking_device.h"
#include "device/open_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = 1ULL << 20U;

/// In a file system that is on a disk, as a rule, and in one in memory.
class FileStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = std::string(GetParam()) + "/uvdo-file-store-" + std::to_string(getpid());
    std::ofstream file(path_);
    file << std::string(kSize, 'x');
    file.close();
    if (!file) GTEST_SKIP() << "nothing can be written to " << GetParam();
    auto loop = UringLoop::create(64);
    ASSERT_TRUE(loop) << loop.error().message();
    loop_ = std::move(*loop);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::unique_ptr<BackingStore> open() {
    auto store = open_device(*loop_, path_, OpenMode::read_write);
    EXPECT_TRUE(store.ok());
    return std::move(*store);
  }
  std::unique_ptr<BackingStore> open_blocking() {
    auto store = open_blocking_device(path_, OpenMode::read_write);
    EXPECT_TRUE(store.ok());
    return std::move(*store);
  }
  /// Makes a request and waits for it; its errno.
  int make(BackingStore& store, Device::Op op, std::uint64_t offset, std::uint64_t length) {
    int error = 0;
    loop_->run([](Device& device, Device::Op what, std::uint64_t at, std::uint64_t bytes,
                  int& result) -> Task<void> {
      Device::Awaiter request{device, what, at, bytes};
      const auto done = co_await request;
      if (!done) result = errno_of(done.error().code());
    }(store, op, offset, length, error));
    return error;
  }
  /// The first byte of each block.
  std::string content() {
    std::string found;
    std::ifstream file(path_);
    for (std::string block(4096, ' '); file.read(block.data(), 4096);) {
      EXPECT_EQ(std::ranges::count(block, block[0]), 4096);
      found += block[0] == '\0' ? '0' : block[0];
    }
    return found;
  }

  std::string path_;
  std::unique_ptr<UringLoop> loop_;
};

TEST_P(FileStoreTest, ZeroedBlocksReadAsZerosAndTakeNoRoom) {
  for (const bool is_blocking : {false, true}) {
    const auto store = is_blocking ? open_blocking() : open();
    const std::uint64_t first = is_blocking ? 100 : 10;
    const int error = make(*store, Device::Op::write_zeroes, first * 4096, 3 * 4096);
    if (error == EOPNOTSUPP) GTEST_SKIP() << "the file system of " << path_ << " has no holes";
    EXPECT_EQ(error, 0);
    std::string wanted(kSize / 4096, 'x');
    wanted.replace(first, 3, "000");
    if (is_blocking) wanted.replace(10, 3, "000");
    EXPECT_EQ(content(), wanted);
    EXPECT_EQ(*store->look_up_size(), kSize);
    const auto holes = store->holes(first * 4096, 3 * 4096);
    ASSERT_TRUE(holes.ok());
    EXPECT_TRUE(*holes == 3U * 4096 || *holes == 0) << "or nobody can tell";
  }
}

TEST_P(FileStoreTest, DiscardsLeaveTheRestAlone) {
  const auto store = open();
  const int error = make(*store, Device::Op::discard, 4096, 2 * 4096);
  EXPECT_TRUE(error == 0 || error == EOPNOTSUPP);
  const std::string found = content();
  EXPECT_EQ(found.size(), kSize / 4096);
  EXPECT_EQ(found[0], 'x');
  EXPECT_EQ(found.substr(3), std::string(kSize / 4096 - 3, 'x'));
  EXPECT_EQ(store->activity().in_flight, 0U);
  EXPECT_EQ(store->activity().failures(), 0U) << "that it cannot be done is no failure";
}

TEST_P(FileStoreTest, TellsOfRequestsThatFail) {
  const auto store = open_blocking();
  std::vector<int> errors;
  store->on_failure([&](const BackingStore::Failure& failure) { errors.push_back(failure.error); });
  std::filesystem::resize_file(path_, kSize / 2);
  const AlignedMemory memory(4096);
  loop_->run([](Device& device, MutableBytes bytes) -> Task<void> {
    const auto read = co_await device.read(kSize - 4096, bytes);
    EXPECT_FALSE(read.ok());
  }(*store, memory.bytes()));
  EXPECT_EQ(errors, std::vector<int>{EIO});
  EXPECT_EQ(store->activity().failed_reads, 1U);
}

TEST_P(FileStoreTest, CanBeReadByWhoWaitsAtAnyPlaceAndTellsOfItsEnd) {
  { std::ofstream(path_) << std::string(5000, 'a') << std::string(kSize - 5000, 'b'); }
  auto store = open_blocking_device(path_, OpenMode::read_only);
  ASSERT_TRUE(store.ok());
  const BlockingDevice device(std::move(*store));
  std::array<std::byte, 3> bytes{};
  ASSERT_TRUE(device.read(4999, bytes).ok());
  EXPECT_EQ(std::memcmp(bytes.data(), "abb", 3), 0);
  EXPECT_EQ(device.read(kSize - 2, bytes).error().code(), Errc::out_of_range);
  std::filesystem::resize_file(path_, 4096);
  EXPECT_EQ(device.read(8192, bytes).error().code(), Errc::out_of_range) << "it was cut short";
}

TEST_P(FileStoreTest, GrowsAFileAndKnowsWhereItsDataBegin) {
  const auto store = open_blocking();
  loop_->run([](BackingStore& grown) -> Task<void> {
    EXPECT_TRUE((co_await grown.extend(4 * kSize)).ok());
  }(*store));
  EXPECT_EQ(store->size(), 4 * kSize);
  EXPECT_EQ(store->next_data(0, 4 * kSize), 0U);
  const std::uint64_t behind = store->next_data(2 * kSize, 4 * kSize);
  EXPECT_TRUE(behind == 4 * kSize || behind == 2 * kSize) << "or nobody can tell";
}

TEST_P(FileStoreTest, IsNobodyElsesAsLongAsItIsOpen) {
  const auto store = open();
  EXPECT_FALSE(store->storages().empty());
  EXPECT_EQ(open_blocking_device(path_, OpenMode::read_only).error().code(), Errc::busy);
  ASSERT_TRUE(store->release().ok());
  EXPECT_TRUE(open_blocking_device(path_, OpenMode::read_only).ok());
  EXPECT_TRUE(store->reopen().ok());
}

INSTANTIATE_TEST_SUITE_P(Files, FileStoreTest, ::testing::Values("/var/tmp", "/dev/shm"),
                         [](const auto& place) {
                           return std::string(place.param) == "/dev/shm" ? "InMemory" : "OnDisk";
                         });

}  // namespace
}  // namespace uvdo
