// SPDX-License-Identifier: GPL-2.0-or-later
// Requests in a steady state, and a suspended volume, take no memory from the heap: a volume may
// hold the swap space of the machine that serves it.
#include "base/testing/heap_use.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/work_thread.h"
#include "device/file_device.h"
#include "device/memory_device.h"
#include "format/index_geometry.h"
#include "volume/remote_index.h"
#include "volume/testing/volume_fixture.h"
#include "volume/uds_index_factory.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kDeviceBytes = 4ULL << 30U;
constexpr std::uint64_t kLogicalBytes = 128ULL << 20U;
constexpr std::size_t kClients = 12;
constexpr std::uint64_t kRounds = 200;  // of each client

struct Variant {
  const char* name;
  bool compression;
  bool thread;
  bool file;
};

class HeapUseTest : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (!testing::kCountsAllocations)
      GTEST_SKIP() << "this C library or sanitizer has its own heap";
    auto loop = UringLoop::create();
    ASSERT_TRUE(loop.ok()) << loop.error().message();
    loop_ = std::move(*loop);
    if (GetParam().thread) {
      auto work = WorkThread::start(*loop_);
      ASSERT_TRUE(work.ok()) << work.error().message();
      work_ = std::move(*work);
    }
    make_device();
    ASSERT_NE(device_, nullptr);
    testing::format_test_volume(*loop_, *device_, kDeviceBytes, kLogicalBytes);
  }
  void TearDown() override {
    device_.reset();
    if (!path_.empty()) std::filesystem::remove(path_);
  }
  static void expect_ok(const Result<void>& result) {
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message());
  }
  void make_device() {
    if (!GetParam().file) {
      auto memory = MemoryDevice::create(kDeviceBytes);
      ASSERT_TRUE(memory.ok());
      device_ = std::move(*memory);
      return;
    }
    path_ = ::testing::TempDir() + "uvdo-heap-use-" + std::to_string(getpid());
    std::ofstream(path_).close();
    std::filesystem::resize_file(path_, kDeviceBytes);
    auto file = FileDevice::open(*loop_, path_, OpenMode::read_write);
    ASSERT_TRUE(file.ok()) << file.error().message();
    device_ = std::move(*file);
  }
  std::unique_ptr<DedupeIndex> make_index(Executor& executor, Device& device,
                                          const VolumeGeometry& geometry, bool create) {
    UdsParameters parameters = uds_parameters(geometry, create);
    parameters.geometry = index_geometry_of(2, 16, 0);
    if (work_ != nullptr) {
      auto index = RemoteIndex::start(*work_, executor, device, parameters, {});
      EXPECT_TRUE(index.ok());
      return std::move(*index);
    }
    auto index = UdsIndex::start(executor, device, parameters, {});
    EXPECT_TRUE(index.ok());
    return std::move(*index);
  }
  Task<void> open() {
    VolumeOptions options;
    options.compression = GetParam().compression;
    if (work_ != nullptr) options.use(*work_);
    const auto factory = [this](Executor& executor, Device& device, const VolumeGeometry& geometry,
                                bool create) {
      return make_index(executor, device, geometry, create);
    };
    auto opened = co_await Volume::open(*loop_, *device_, options, factory, [](const LogLine&) {});
    EXPECT_TRUE(opened.ok());
    volume_ = std::move(*opened);
    while (volume_->index()->state() == IndexState::opening) co_await loop_->yield();
    EXPECT_EQ(volume_->index()->state(), IndexState::online);
  }
  /// Data of one of four kinds by `seed`: new, known, compressible, zero.
  static void fill(MutableBytes bytes, std::uint64_t seed) {
    std::mt19937_64 random(seed % 4 == 1 ? seed % 512 : seed);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      const bool is_varied = seed % 4 < 2 || (seed % 4 == 2 && i % 4096 < 1024);
      store_le64(bytes.data() + i, is_varied ? random() : 0);
    }
  }
  Task<void> write(std::uint64_t offset, std::size_t size, std::uint64_t seed,
                   Durability durability = Durability::cached) {
    Buffer buffer = co_await volume_->buffers().acquire(size);
    fill(buffer.bytes(), seed);
    expect_ok(co_await volume_->write(offset, std::move(buffer), durability));
  }
  /// Everything that clients do, many times, each in its own part and in one that they share.
  Task<void> work_as(std::uint64_t client, std::uint64_t first, std::uint64_t last) {
    const Buffer out = co_await volume_->buffers().acquire(65536);
    std::mt19937_64 random(client);
    constexpr std::uint64_t kPlaces = kLogicalBytes / 131072;
    for (std::uint64_t i = first; i < last; ++i) {
      const std::uint64_t at = random() % kPlaces * 131072;
      const std::uint64_t seed = i * kClients + client;
      co_await write(at, 65536, seed);
      co_await write(at + 65536, 4096, i);
      co_await write(at + 70000, 512, seed, i % 8 == 0 ? Durability::fua : Durability::cached);
      if (i % 4 == 0) expect_ok(co_await volume_->discard(at, 16384, Durability::cached));
      if (i % 4 == 2) {
        expect_ok(
            co_await volume_->write_zeroes(at + 8192, 16384, ZeroMode::mapped, Durability::cached));
      }
      if (i % 16 == client) expect_ok(co_await volume_->flush());
      expect_ok(co_await volume_->read(at, out.bytes()));
      co_await loop_->yield();
    }
  }
  Task<void> work(std::uint64_t first, std::uint64_t last) {
    TaskGroup clients(*loop_);
    for (std::size_t c = 0; c < kClients; ++c) clients.start(work_as(c, first, last));
    co_await clients.wait();
    expect_ok(co_await volume_->flush());
  }

  Task<void> measure_requests() {
    co_await open();
    co_await work(0, kRounds);
    const std::uint64_t before = testing::allocations();
    co_await work(kRounds, 3 * kRounds);
    EXPECT_EQ(testing::allocations() - before, 0U);
    EXPECT_GT(volume_->hash_locks().dedupe_advice_valid, 0U);
    EXPECT_GT(volume_->hash_locks().dedupe_advice_stale, 0U);
    EXPECT_EQ(volume_->packer().counters().compressed_fragments_written > 0,
              GetParam().compression);
    expect_ok(co_await volume_->stop());
    volume_.reset();
  }
  /// As requests, but from the first one on: slabs are used that never were, and pages are made.
  Task<void> measure_first_requests() {
    co_await open();
    const std::uint64_t before = testing::allocations();
    co_await work(0, kRounds);
    EXPECT_EQ(testing::allocations() - before, 0U);
    std::uint64_t slabs_used = 0;
    for (SlabNumber i = 0; i < volume_->depot().slab_count(); ++i) {
      slabs_used += volume_->depot().slab(i).is_pristine() ? 0U : 1U;
    }
    EXPECT_GT(slabs_used, 1U);
    EXPECT_GT(volume_->block_map().interior_pages(), 60U);
    expect_ok(co_await volume_->stop());
    volume_.reset();
  }
  Task<void> measure_suspension() {
    co_await open();
    co_await work(0, kRounds / 4);
    expect_ok(co_await volume_->suspend(SuspendMode::save));
    const std::uint64_t before = testing::allocations();
    TaskGroup waiting(*loop_);
    for (std::uint64_t i = 0; i < 16; ++i) waiting.start(write(i * 4096, 4096, i));
    Alarm alarm(*loop_);
    co_await alarm.sleep(std::chrono::milliseconds(100));
    EXPECT_EQ(testing::allocations() - before, 0U);
    expect_ok(co_await volume_->resume());
    if (!GetParam().file) {
      EXPECT_EQ(testing::allocations() - before, 0U);  // (a file is opened anew)
    }
    co_await waiting.wait();
    expect_ok(co_await volume_->stop());
    volume_.reset();
  }

  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<WorkThread> work_;
  std::unique_ptr<BackingStore> device_;
  std::string path_;
  std::unique_ptr<Volume> volume_;
};

TEST_P(HeapUseTest, RequestsTakeNone) { loop_->run(measure_requests()); }

TEST_P(HeapUseTest, FirstRequestsTakeNone) { loop_->run(measure_first_requests()); }

TEST_P(HeapUseTest, ASuspendedVolumeTakesNone) { loop_->run(measure_suspension()); }

INSTANTIATE_TEST_SUITE_P(Volumes, HeapUseTest,
                         ::testing::Values(Variant{"plain", false, false, false},
                                           Variant{"compressing", true, false, false},
                                           Variant{"onAFile", true, false, true},
                                           Variant{"withAWorkThread", true, true, true}),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace uvdo
