// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/volume.h"

#include <array>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "index/bounded_memory_index.h"
#include "volume/testing/volume_fixture.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kDeviceBytes = 3ULL << 30U;
constexpr std::uint64_t kLogicalBytes = 256ULL << 20U;

class VolumeTest : public testing::VolumeFixture {
 protected:
  VolumeTest() : VolumeFixture(kDeviceBytes, kDeviceBytes, kLogicalBytes) {}

  Task<void> open() { return open(*device_); }
  Task<void> open(BackingStore& store) {
    return VolumeFixture::open(store, [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<BoundedMemoryIndex>(1U << 20U);
    });
  }
  Task<Result<void>> write(std::uint64_t offset, std::vector<std::byte> data,
                           Durability durability = Durability::cached) {
    Buffer buffer = co_await volume_->buffers().acquire(data.size());
    std::memcpy(buffer.data(), data.data(), data.size());
    co_return co_await volume_->write(offset, std::move(buffer), durability);
  }
  Task<void> write_well(std::uint64_t offset, std::vector<std::byte> data,
                        Durability durability = Durability::cached) {
    expect_ok(co_await write(offset, std::move(data), durability));
  }
  static std::vector<std::byte> noise(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> data(size);
    for (auto& b : data) b = static_cast<std::byte>(random());
    return data;
  }
  Task<void> expect_content(std::uint64_t offset, std::vector<std::byte> data) {
    std::vector<std::byte> got(data.size());
    expect_ok(co_await volume_->read(offset, got));
    EXPECT_EQ(std::memcmp(got.data(), data.data(), data.size()), 0) << "at byte " << offset;
  }
};

/// Requests of one kind come back when they are let.
class PatientDevice final : public PrivateStore {
 public:
  explicit PatientDevice(MemoryDevice& device) : device_(device) {}
  void submit(Request& request) override {
    if (patient_with_ == request.op) {
      kept_.push_back(&request);
    } else {
      device_.submit(request);
    }
  }
  [[nodiscard]] std::uint64_t size() const override { return device_.size(); }
  [[nodiscard]] const std::string& name() const override { return device_.name(); }
  void keep(Op op) { patient_with_ = op; }
  [[nodiscard]] std::size_t kept() const { return kept_.size(); }
  /// From now on nothing is kept any more.
  void let_go(Executor& executor) {
    patient_with_.reset();
    for (Request* request : std::exchange(kept_, {})) {
      device_.submit(*request);
      executor.post(request->waiter);
    }
  }

 private:
  MemoryDevice& device_;
  std::optional<Op> patient_with_;
  std::vector<Request*> kept_;
};

TEST_F(VolumeTest, AStopWaitsForReadsUnderWayAndRefusesLaterOnes) {
  run([&]() -> Task<void> {
    co_await open();
    co_await write_well(0, noise(8192, 1));
    co_await stop();
    PatientDevice patient(*device_);
    co_await open(patient);
    co_await expect_content(0, noise(4096, 1));  // the map's page is in memory now
    patient.keep(Device::Op::read);
    bool is_read = false;
    TaskGroup requests(*loop_);
    requests.start([](Volume& volume, bool& done) -> Task<void> {
      std::vector<std::byte> got(4096);
      expect_ok(co_await volume.read(4096, got));
      done = true;
    }(*volume_, is_read));
    co_await loop_->yield();
    requests.start([](Volume& volume, bool& done) -> Task<void> {
      expect_ok(co_await volume.stop());
      EXPECT_TRUE(done);
    }(*volume_, is_read));
    for (int turn = 0; turn < 10; ++turn) co_await loop_->yield();
    EXPECT_FALSE(is_read);
    std::vector<std::byte> late(4096);
    const auto refused = co_await volume_->read(0, late);
    EXPECT_FALSE(refused.ok());
    if (!refused.ok()) {
      EXPECT_EQ(refused.error().code(), Errc::cancelled);
    }
    patient.let_go(*loop_);
    co_await requests.wait();
    EXPECT_TRUE(is_read);
    volume_.reset();
  });
}

TEST_F(VolumeTest, PagesOfTheMapAreMadeSideBySideAndNotReadBack) {
  run([&]() -> Task<void> {
    PatientDevice patient(*device_);
    co_await open(patient);
    constexpr std::uint64_t kLeaves = 8;
    constexpr std::uint64_t kBytesOfLeaf = kEntriesPerPage * kBlockSize;
    patient.keep(Device::Op::write);
    TaskGroup writers(*loop_);
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      writers.start(write_well(i * kBytesOfLeaf, noise(4096, i)));
      writers.start(write_well(i * kBytesOfLeaf + 4096, noise(4096, kLeaves + i)));
    }
    for (int turn = 0; turn < 10; ++turn) co_await loop_->yield();
    EXPECT_EQ(patient.kept(), kLeaves);
    patient.let_go(*loop_);
    co_await writers.wait();
    expect_ok(co_await volume_->flush());
    EXPECT_EQ(volume_->block_map().counters().read_count, 0U);
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      co_await expect_content(i * kBytesOfLeaf, noise(4096, i));
      co_await expect_content(i * kBytesOfLeaf + 4096, noise(4096, kLeaves + i));
    }
    co_await stop();
    co_await open();
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      co_await expect_content(i * kBytesOfLeaf + 4096, noise(4096, kLeaves + i));
    }
    co_await stop();
  });
}

TEST_F(VolumeTest, WhatIsWrittenIsReadBeforeAndAfterARestart) {
  run([&]() -> Task<void> {
    co_await open();
    expect_ok(co_await write(0, noise(4096, 1)));
    expect_ok(co_await write(8192, noise(131072, 2)));
    expect_ok(co_await write(1000, noise(5000, 3)));
    co_await expect_content(1000, noise(5000, 3));
    co_await expect_content(8192, noise(131072, 2));
    expect_ok(co_await volume_->flush());
    co_await stop();
    co_await open();
    co_await expect_content(1000, noise(5000, 3));
    co_await expect_content(8192, noise(131072, 2));
    co_await stop();
  });
}

TEST_F(VolumeTest, EqualBlocksShareOnePhysicalBlock) {
  run([&]() -> Task<void> {
    co_await open();
    for (std::uint64_t i = 0; i < 300; ++i) {
      expect_ok(co_await write(i * 4096, noise(4096, 9)));
    }
    expect_ok(co_await volume_->flush());
    // 254 references a block: 300 copies take two.
    EXPECT_EQ(volume_->depot().allocated_blocks() - volume_->journal().block_map_blocks(), 2U);
    co_await stop();
    co_await open();
    for (std::uint64_t i = 0; i < 300; ++i) co_await expect_content(i * 4096, noise(4096, 9));
    co_await stop();
  });
}

TEST_F(VolumeTest, ThePeakOfUseIsKnownWhenItIsOver) {
  run([&]() -> Task<void> {
    co_await open();
    volume_->take_peak_used();
    for (std::uint64_t i = 0; i < 100; ++i) {
      expect_ok(co_await write(i * 4096, noise(4096, i)));
    }
    expect_ok(co_await volume_->discard(0, 100 * 4096, Durability::cached));
    expect_ok(co_await volume_->flush());
    const std::uint64_t map_blocks = volume_->journal().block_map_blocks();
    EXPECT_EQ(volume_->depot().allocated_blocks(), map_blocks);
    EXPECT_EQ(volume_->take_peak_used(), map_blocks + 100);
    EXPECT_EQ(volume_->take_peak_used(), map_blocks) << "since the last call";
    co_await stop();
  });
}

TEST_F(VolumeTest, CompressedBlocksAreReadBack) {
  options_.compression = true;
  run([&]() -> Task<void> {
    co_await open();
    for (std::uint64_t i = 0; i < 140; ++i) {
      auto data = noise(4096, i);
      std::fill(data.begin() + 200, data.end(), std::byte{1});
      expect_ok(co_await write(i * 4096, data));
    }
    expect_ok(co_await volume_->flush());
    EXPECT_LE(volume_->depot().allocated_blocks() - volume_->journal().block_map_blocks(), 14U);
    co_await stop();
    co_await open();
    for (std::uint64_t i = 0; i < 140; ++i) {
      auto data = noise(4096, i);
      std::fill(data.begin() + 200, data.end(), std::byte{1});
      co_await expect_content(i * 4096, data);
    }
    co_await stop();
  });
}

TEST_F(VolumeTest, ACopyWhoseBlockHasNoReferenceLeftIsCompressedOnceMore) {
  options_.compression = true;
  run([&]() -> Task<void> {
    co_await open();
    // A block takes 254 references: of 255 copies one is left over. Those of two contents meet in
    // the packer.
    constexpr std::uint64_t kCopies = 255;
    constexpr std::uint64_t kBlocksEach = 32;
    const auto block_of = [](std::uint64_t content) {
      auto block = noise(4096, content);
      std::fill(block.begin() + 1000, block.end(), std::byte{1});
      return block;
    };
    TaskGroup writers(*loop_);
    for (std::uint64_t content = 0; content < 2; ++content) {
      for (std::uint64_t first = 0; first < kCopies; first += kBlocksEach) {
        std::vector<std::byte> data;
        for (std::uint64_t i = first; i < std::min(first + kBlocksEach, kCopies); ++i) {
          const auto block = block_of(content);
          data.insert(data.end(), block.begin(), block.end());
        }
        writers.start(write_well((content * kCopies + first) * 4096, data));
      }
    }
    co_await writers.wait();
    expect_ok(co_await volume_->flush());
    for (std::uint64_t i = 0; i < 2 * kCopies; ++i) {
      co_await expect_content(i * 4096, block_of(i / kCopies));
    }
    co_await stop();
  });
}

TEST_F(VolumeTest, MoreWritesThanItTakesAtOnceWaitAndAllArrive) {
  constexpr std::uint64_t kWrites = 96;
  constexpr std::uint64_t kRoom = 16384;  // of each
  const auto data_of = [](std::uint64_t i) {
    std::vector<std::byte> data = noise(i % 5 == 0 ? 12288 : 4096, i % 4 == 1 ? 1 : i);
    if (i % 4 == 2) std::fill(data.begin() + 1000, data.end(), std::byte{0});  // compressible
    if (i % 4 == 3) data.resize(1500);
    return data;
  };
  options_.compression = true;
  for (const std::size_t jobs : {1U, 2U, 7U}) {
    options_.write_jobs = jobs;
    run([&]() -> Task<void> {
      co_await open();
      TaskGroup writers(*loop_);
      for (std::uint64_t i = 0; i < kWrites; ++i) {
        writers.start(write_well(i * kRoom + i % 3 * 100, data_of(i),
                                 i % 7 == 0 ? Durability::fua : Durability::cached));
      }
      co_await writers.wait();
      expect_ok(co_await volume_->flush());
      co_await stop();
      co_await open();
      for (std::uint64_t i = 0; i < kWrites; ++i) {
        co_await expect_content(i * kRoom + i % 3 * 100, data_of(i));
      }
      co_await stop();
    });
  }
}

TEST_F(VolumeTest, DiscardedBlocksReadAsZerosAndAreFree) {
  run([&]() -> Task<void> {
    co_await open();
    expect_ok(co_await write(0, noise(131072, 5)));
    expect_ok(co_await volume_->discard(5000, 100000, Durability::fua));
    auto expected = noise(131072, 5);
    std::fill(expected.begin() + 5000, expected.begin() + 105000, std::byte{0});
    co_await expect_content(0, expected);
    expect_ok(co_await volume_->flush());
    const auto extents = co_await volume_->extents(0, 131072, 10);
    EXPECT_TRUE(extents.ok());
    EXPECT_EQ(extents->size(), 3U);
    EXPECT_EQ(volume_->depot().allocated_blocks() - volume_->journal().block_map_blocks(), 9U);
    co_await stop();
  });
}

TEST_F(VolumeTest, DiscardsOfPartsOfBlocksWithoutDataTakeNothing) {
  run([&]() -> Task<void> {
    co_await open();
    constexpr std::uint64_t kLeaf = kEntriesPerPage * kBlockSize;
    co_await write_well(0, noise(3 * 4096, 5));
    expect_ok(co_await volume_->write_zeroes(4 * 4096, 4096, ZeroMode::mapped, Durability::cached));
    expect_ok(co_await volume_->flush());
    const std::uint64_t pages = volume_->journal().block_map_blocks();
    const std::uint64_t used = volume_->journal().logical_blocks_used();
    const std::uint64_t blocks = volume_->depot().allocated_blocks();
    for (const Durability durability : {Durability::cached, Durability::fua}) {
      // Never written, with a leaf and without; mapped to zeros; both ends of a range.
      for (const std::uint64_t at : std::initializer_list<std::uint64_t>{
               8 * 4096 + 512, kLeaf + 512, 4 * 4096 + 512, 5 * kLeaf - 512}) {
        expect_ok(co_await volume_->discard(at, 1024, durability));
        expect_ok(co_await volume_->write_zeroes(at, 1024, ZeroMode::punch, durability));
      }
      expect_ok(co_await volume_->discard(2 * kLeaf + 100, 4 * 4096, durability));
    }
    expect_ok(co_await volume_->flush());
    EXPECT_EQ(volume_->journal().block_map_blocks(), pages);
    EXPECT_EQ(volume_->journal().logical_blocks_used(), used);
    EXPECT_EQ(volume_->depot().allocated_blocks(), blocks);
    // Where there are data, the part becomes zeros.
    expect_ok(co_await volume_->discard(4096 + 512, 4096 + 1024, Durability::cached));
    auto expected = noise(3 * 4096, 5);
    std::fill(expected.begin() + 4096 + 512, expected.begin() + 2 * 4096 + 1536, std::byte{0});
    co_await expect_content(0, expected);
    // Zeroes that are to be mapped are.
    expect_ok(
        co_await volume_->write_zeroes(9 * 4096 + 512, 1024, ZeroMode::mapped, Durability::fua));
    EXPECT_EQ(volume_->journal().logical_blocks_used(), used + 1);
    co_await stop();
  });
}

TEST_F(VolumeTest, ADiscardOnAFullVolumeFreesWhatItCanAndSucceeds) {
  run([&]() -> Task<void> {
    co_await open();
    constexpr std::uint64_t kPiece = 32 * 4096;
    std::uint64_t end = 0;
    while (end < kLogicalBytes) {
      const auto done = co_await write(end, noise(kPiece, end));
      if (!done) break;
      end += kPiece;
    }
    if (end == kLogicalBytes) {
      co_await stop();
      co_return;  // it has room for all
    }
    expect_ok(co_await volume_->flush());
    expect_ok(co_await volume_->discard(512, 1024, Durability::cached));
    expect_ok(co_await volume_->discard(512, 8 * 4096, Durability::cached));
    expect_ok(co_await volume_->flush());
    co_await write_well(4096, noise(4096, 77));
    co_await stop();
  });
}

// The count waits for a clean page of the cache when the volume is stopped.
TEST_F(VolumeTest, StopsWhileItsSavingsAreCounted) {
  options_.block_map_cache_pages = 16;
  options_.commit_delay = std::chrono::seconds(60);
  run([&]() -> Task<void> {
    const std::uint64_t leaf = kEntriesPerPage * kBlockSize;
    co_await open();
    expect_ok(co_await write(0, noise(4096, 1)));
    co_await stop();
    co_await open();
    for (std::uint64_t i = 1; i <= 16; ++i) expect_ok(co_await write(i * leaf, noise(4096, i)));
    expect_ok(co_await volume_->flush());
    EXPECT_EQ(volume_->block_map().dirty_pages(), 16U);
    co_await volume_->count_savings(Duration(0));
    co_await stop();
  });
}

TEST_F(VolumeTest, PagesOfTheMapAreReadAndWrittenSideBySide) {
  constexpr std::uint64_t kLeaves = 16;
  constexpr std::uint64_t kLeafBytes = kEntriesPerPage * kBlockSize;
  options_.commit_delay = std::chrono::seconds(60);
  run([&]() -> Task<void> {
    co_await open();
    for (std::uint64_t i = 0; i < kLeaves; ++i) co_await write_well(i * kLeafBytes, noise(4096, i));
    co_await stop();
    PatientDevice patient(*device_);
    const auto turns_until = [&](std::size_t kept) -> Task<void> {
      for (unsigned turns = 0; patient.kept() < kept && turns < 1000; ++turns) {
        co_await loop_->yield();
      }
    };
    co_await open(patient);
    // The way to each of the leaves is known; they are not.
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      co_await expect_content((i + kBlockMapRoots) * kLeafBytes, std::vector<std::byte>(4096));
    }
    patient.keep(Device::Op::read);
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      co_await write_well(i * kLeafBytes, noise(4096, 100 + i));
    }
    co_await turns_until(kLeaves);
    EXPECT_EQ(patient.kept(), kLeaves);
    patient.let_go(*loop_);
    expect_ok(co_await volume_->flush());
    patient.keep(Device::Op::write);
    TaskGroup end(*loop_);
    end.start(stop());
    co_await turns_until(kLeaves);
    EXPECT_EQ(patient.kept(), kLeaves);
    patient.let_go(*loop_);
    co_await end.wait();
    co_await open();
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      co_await expect_content(i * kLeafBytes, noise(4096, 100 + i));
    }
    co_await stop();
  });
}

TEST_F(VolumeTest, AFewSmallWritesWaitForCompanyUntilSomebodyWaitsForThem) {
  options_.gather_delay = std::chrono::hours(1);
  run([&]() -> Task<void> {
    co_await open();
    const auto data_blocks = [&] {
      return volume_->depot().allocated_blocks() - volume_->journal().block_map_blocks();
    };
    const std::uint64_t before = data_blocks();
    expect_ok(co_await write(0, noise(4096, 1)));
    co_await loop_->turn_end();
    co_await loop_->turn_end();
    co_await expect_content(0, noise(4096, 1));
    EXPECT_EQ(data_blocks(), before) << "it waits";
    expect_ok(co_await write(0, noise(4096, 2)));
    expect_ok(co_await volume_->flush());
    expect_ok(co_await write(4096, noise(4096, 3)));
    co_await loop_->turn_end();
    expect_ok(co_await volume_->discard(0, 8192, Durability::cached));
    co_await expect_content(0, std::vector<std::byte>(8192));
    for (std::uint64_t i = 0; i < 8; ++i) expect_ok(co_await write(i * 4096, noise(4096, i)));
    expect_ok(co_await write(100, noise(100, 4)));
    expect_ok(co_await write(8192, noise(131072, 5)));
    co_await stop();
  });
}

}  // namespace
}  // namespace uvdo
