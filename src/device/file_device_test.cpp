// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/file_device.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/work_thread.h"
#include "base/aligned_memory.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = 1ULL << 20U;

/// A file of a file system in memory, where there is one.
class FileInMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = "/dev/shm/uvdo-file-device-" + std::to_string(getpid());
    if (!std::ofstream(path_)) GTEST_SKIP() << "no /dev/shm to write to";
    std::filesystem::resize_file(path_, kSize);
    auto loop = UringLoop::create(64);
    ASSERT_TRUE(loop) << loop.error().message();
    loop_ = std::move(*loop);
    auto device = FileDevice::open(*loop_, path_, OpenMode::read_write);
    ASSERT_TRUE(device) << device.error().message();
    device_ = std::move(*device);
    if (!device_->is_in_memory()) GTEST_SKIP() << "/dev/shm is not in memory";
  }
  void TearDown() override {
    device_.reset();
    std::filesystem::remove(path_);
  }
  /// Whether the request was over when submit() came back.
  bool is_done_at_once(Device::Op op, std::uint64_t offset, MutableBytes bytes) {
    const iovec slice{bytes.data(), bytes.size()};
    Device::Request request;
    request.op = op;
    request.offset = offset;
    request.length = bytes.size();
    request.slices = {&slice, 1};
    device_->submit(request);
    EXPECT_EQ(request.error, 0);
    return request.done;
  }

  std::string path_;
  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<FileDevice> device_;
};

TEST_F(FileInMemoryTest, RequestsAreOverAtOnce) {
  const AlignedMemory written(8192);
  const AlignedMemory read(8192);
  std::memset(written.data(), 0x5A, written.size());
  EXPECT_TRUE(is_done_at_once(Device::Op::write, 4096, written.bytes()));
  EXPECT_TRUE(is_done_at_once(Device::Op::flush, 0, {}));
  EXPECT_TRUE(is_done_at_once(Device::Op::read, 4096, read.bytes()));
  EXPECT_EQ(std::memcmp(read.data(), written.data(), read.size()), 0);
  EXPECT_EQ(device_->activity().reads, 1U);
  EXPECT_EQ(device_->activity().writes, 1U);
}

TEST_F(FileInMemoryTest, ManyReadsAreSharedWithAnotherThread) {
  auto work = WorkThread::start(*loop_);
  ASSERT_TRUE(work.ok()) << work.error().message();
  device_->share_reads(&(*work)->batches());
  loop_->run([](UringLoop& loop, Device& device) -> Task<void> {
    constexpr std::uint64_t kBlocks = kSize / 4096;
    const AlignedMemory written(kSize);
    const AlignedMemory got(kSize);
    for (std::uint64_t i = 0; i < kBlocks; ++i) {
      std::memset(written.data() + i * 4096, static_cast<int>(i % 251), 4096);
    }
    const auto stored = co_await device.write(0, written.bytes());
    EXPECT_TRUE(stored.ok());
    const auto one = [](Device& from, std::uint64_t block, MutableBytes out) -> Task<void> {
      Device::Awaiter read = from.read(block * 4096, out);
      read.allow_sharing();
      const auto done = co_await read;
      EXPECT_EQ(done.ok(), block < kBlocks);
    };
    for (int round = 0; round < 10; ++round) {
      std::memset(got.data(), 0xFF, kSize);
      TaskGroup reads(loop);
      for (std::uint64_t i = 0; i < kBlocks; ++i) {
        reads.start(one(device, i, got.bytes().subspan(i * 4096, 4096)));
      }
      const AlignedMemory beyond(4096);
      reads.start(one(device, kBlocks, beyond.bytes()));
      co_await reads.wait();
      EXPECT_EQ(std::memcmp(got.data(), written.data(), kSize), 0);
    }
  }(*loop_, *device_));
  EXPECT_EQ(device_->activity().reads, 10U * (kSize / 4096 + 1));
  EXPECT_EQ(device_->activity().in_flight, 0U);
  device_->share_reads(nullptr);
}

TEST_F(FileInMemoryTest, WhatBecomesOfItIsFoundOutWithoutWaiting) {
  const auto first = device_->last_look();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->size, kSize);
  std::filesystem::resize_file(path_, kSize / 2);
  auto later = device_->last_look();
  while (later.ok() && later->size == kSize) later = device_->last_look();
  ASSERT_TRUE(later.ok());
  EXPECT_EQ(later->size, kSize / 2);
  ASSERT_TRUE(device_->release().ok());
  EXPECT_FALSE(device_->last_look().ok());
  std::filesystem::resize_file(path_, kSize);
  ASSERT_TRUE(device_->reopen().ok());
  const auto anew = device_->last_look();
  ASSERT_TRUE(anew.ok());
  EXPECT_EQ(anew->size, kSize);
}

TEST_F(FileInMemoryTest, WhatReachesBeyondTheEndFails) {
  loop_->run([](Device& device) -> Task<void> {
    const AlignedMemory memory(8192);
    const auto read = co_await device.read(kSize - 4096, memory.bytes());
    EXPECT_FALSE(read.ok());
  }(*device_));
}

}  // namespace
}  // namespace uvdo
