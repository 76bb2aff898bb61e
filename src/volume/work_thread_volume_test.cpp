// SPDX-License-Identifier: GPL-2.0-or-later
// A volume that has a work thread, with its index in it: what is stored is the same, and no two
// threads meet (TSan).
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "async/testing/work_thread_fixture.h"
#include "base/aligned_memory.h"
#include "device/memory_device.h"
#include "format/index_geometry.h"
#include "volume/remote_index.h"
#include "volume/testing/volume_fixture.h"
#include "volume/uds_index_factory.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kDeviceBytes = 3ULL << 30U;
constexpr std::size_t kClients = 48;
constexpr std::uint64_t kBlocksEach = 64;

/// Data of a block: unique, a copy of one of a few, or compressible, by its number.
void fill(MutableBytes block, std::uint64_t number, std::uint64_t round) {
  std::mt19937_64 random(number % 3 == 0 ? number % 7 : number + (round << 32U));
  const std::size_t end = number % 3 == 1 ? block.size() / 3 : block.size();
  std::memset(block.data(), 1, block.size());
  for (std::size_t i = 0; i + 8 <= end; i += 8) store_le64(block.data() + i, random());
}

class WorkThreadVolumeTest : public test::WorkThreadFixture {
 protected:
  void SetUp() override {
    WorkThreadFixture::SetUp();
    if (HasFatalFailure()) return;
    auto device = MemoryDevice::create(kDeviceBytes);
    ASSERT_TRUE(device.ok());
    device_ = std::move(*device);
    testing::format_test_volume(*loop_, *device_, kDeviceBytes, 256ULL << 20U);
  }
  Task<void> open() {
    VolumeOptions options;
    options.compression = true;
    options.use(*work_);
    const auto factory = [this](Executor& executor, Device& device, const VolumeGeometry& geometry,
                                bool create) -> std::unique_ptr<DedupeIndex> {
      UdsParameters parameters = uds_parameters(geometry, create);
      parameters.geometry = index_geometry_of(2, 16, 0);
      auto index = RemoteIndex::start(*work_, executor, device, parameters,
                                      [](const LogLine& line) { ADD_FAILURE() << line.text; });
      EXPECT_TRUE(index.ok());
      return index ? std::move(*index) : nullptr;
    };
    auto opened = co_await Volume::open(*loop_, *device_, options, factory, [](std::string) {});
    EXPECT_TRUE(opened.ok());
    if (!opened) co_return;
    volume_ = std::move(*opened);
    while (volume_->statistics().extra.index_state == "opening") co_await loop_->yield();
    EXPECT_EQ(volume_->statistics().extra.index_state, "online");
  }
  Task<void> write_all(std::uint64_t round) {
    const auto client = [](UringLoop& loop, Volume& volume, std::uint64_t first,
                           std::uint64_t r) -> Task<void> {
      for (std::uint64_t i = first; i < first + kBlocksEach; ++i) {
        if (i % 64 == 0) co_await loop.yield();
        Buffer buffer = co_await volume.buffers().acquire(kBlockSize);
        fill(buffer.bytes(), i, r);
        const auto done =
            co_await volume.write(i * kBlockSize, std::move(buffer), Durability::cached);
        EXPECT_TRUE(done.ok());
      }
    };
    TaskGroup clients(*loop_);
    for (std::size_t c = 0; c < kClients; ++c) {
      clients.start(client(*loop_, *volume_, c * kBlocksEach, round));
    }
    co_await clients.wait();
    const auto flushed = co_await volume_->flush();
    EXPECT_TRUE(flushed.ok());
  }
  Task<void> expect_all(std::uint64_t round) {
    std::vector<std::byte> expected(kBlockSize);
    std::vector<std::byte> got(kBlockSize);
    for (std::uint64_t i = 0; i < kClients * kBlocksEach; ++i) {
      // Sanitizers take away the tail calls by which reads that never wait keep the stack short.
      if (i % 64 == 0) co_await loop_->yield();
      fill(expected, i, round);
      const auto done = co_await volume_->read(i * kBlockSize, got);
      EXPECT_TRUE(done.ok());
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), kBlockSize), 0) << "block " << i;
    }
  }
  /// Many at once, so that the work thread has a share in it.
  Task<void> expect_all_at_once(std::uint64_t round) {
    const auto client = [](Volume& volume, std::uint64_t first, std::uint64_t r) -> Task<void> {
      std::vector<std::byte> expected(kBlockSize);
      const AlignedMemory got(kBlockSize);
      for (std::uint64_t i = first; i < first + kBlocksEach; ++i) {
        const auto done = co_await volume.read(i * kBlockSize, got.bytes());
        EXPECT_TRUE(done.ok());
        fill(expected, i, r);
        EXPECT_EQ(std::memcmp(got.data(), expected.data(), kBlockSize), 0) << "block " << i;
      }
    };
    TaskGroup clients(*loop_);
    for (std::size_t c = 0; c < kClients; ++c) {
      clients.start(client(*volume_, c * kBlocksEach, round));
    }
    co_await clients.wait();
  }
  Task<void> stop() {
    const auto stopped = co_await volume_->stop();
    EXPECT_TRUE(stopped.ok());
    volume_.reset();
  }

  std::unique_ptr<MemoryDevice> device_;
  std::unique_ptr<Volume> volume_;
};

TEST_F(WorkThreadVolumeTest, StoresAndFindsWhatIsWrittenAlsoAfterARestart) {
  const auto body = [this]() -> Task<void> {
    co_await open();
    co_await write_all(1);
    co_await expect_all(1);
    co_await write_all(2);
    co_await write_all(2);  // all of it is known now
    const VolumeStatistics s = volume_->statistics();
    EXPECT_GT(s.hash_lock.dedupe_advice_valid, kClients * kBlocksEach / 2);
    EXPECT_GT(s.index.posts_found, kClients * kBlocksEach / 2);
    EXPECT_GT(s.packer.compressed_fragments_written, 0U);
    volume_->set_deduplication(false);
    co_await write_all(3);
    co_await stop();
    co_await open();
    co_await expect_all(3);
    co_await stop();
  };
  loop_->run(body());
}

TEST_F(WorkThreadVolumeTest, ManyReadsGetWhatIsThereAlsoWhileOthersWrite) {
  const auto body = [this]() -> Task<void> {
    co_await open();
    co_await write_all(1);
    co_await expect_all_at_once(1);
    for (int i = 0; i < 4; ++i) {
      TaskGroup both(*loop_);
      both.start(write_all(1));
      both.start(expect_all_at_once(1));
      co_await both.wait();
    }
    co_await stop();
    co_await open();
    co_await expect_all_at_once(1);
    co_await stop();
  };
  loop_->run(body());
}

}  // namespace
}  // namespace uvdo
