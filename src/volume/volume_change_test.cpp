// SPDX-License-Identifier: GPL-2.0-or-later
// Growth and suspension of a volume in use, and that neither requests nor a suspension take memory
// from the heap. What a power cut does to them is tried in tests/sim.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

#include <gtest/gtest.h>

#include "index/dedupe_index.h"
#include "volume/testing/volume_fixture.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

/// An index in an array: it forgets a name when another one comes to its place.
class FixedIndex final : public DedupeIndex {
 public:
  [[nodiscard]] IndexState state() const override { return IndexState::online; }
  [[nodiscard]] IndexStatistics statistics() const override { return {}; }
  [[nodiscard]] std::uint64_t memory_needed() const override { return sizeof *this; }
  Task<void> lookup(std::span<IndexQuery> queries) override {
    for (IndexQuery& query : queries) {
      const Record& record = records_[query.name.hash() % records_.size()];
      query.found = record.name == query.name;
      if (query.found) query.data = record.data;
    }
    co_return;
  }
  void record(const IndexQuery& query, const IndexData& data) override {
    records_[query.name.hash() % records_.size()] = {query.name, data};
  }
  Task<Result<void>> save() override { co_return Result<void>(); }

 private:
  struct Record {
    RecordName name;
    IndexData data{};
  };
  std::array<Record, 4096> records_{};
};

/// An index that takes its time to be saved, and counts who saves it at once.
class SlowIndex final : public DedupeIndex {
 public:
  struct Seen {
    int saving = 0;
    int most = 0;
    int saves = 0;
  };
  SlowIndex(Executor& executor, Seen& seen) : executor_(executor), seen_(seen) {}
  [[nodiscard]] IndexState state() const override { return IndexState::online; }
  [[nodiscard]] IndexStatistics statistics() const override { return {}; }
  [[nodiscard]] std::uint64_t memory_needed() const override { return sizeof *this; }
  Task<void> lookup(std::span<IndexQuery>) override { co_return; }
  void record(const IndexQuery&, const IndexData&) override {}
  Task<Result<void>> save() override {
    seen_.most = std::max(seen_.most, ++seen_.saving);
    for (int i = 0; i < 100; ++i) co_await executor_.yield();
    --seen_.saving;
    ++seen_.saves;
    co_return Result<void>();
  }

 private:
  Executor& executor_;
  Seen& seen_;
};

constexpr std::uint64_t kDeviceBytes = 4ULL << 30U;
constexpr std::uint64_t kVolumeBytes = 3ULL << 30U;
constexpr std::uint64_t kLogicalBytes = 64ULL << 20U;

class VolumeChangeTest : public testing::VolumeFixture {
 protected:
  VolumeChangeTest() : VolumeFixture(kDeviceBytes, kVolumeBytes, kLogicalBytes) {}

  Task<void> open() {
    return VolumeFixture::open(*device_, [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<FixedIndex>();
    });
  }
  /// Fills `size` bytes at `offset` with what `seed` says.
  Task<void> write(std::uint64_t offset, std::size_t size, std::uint64_t seed,
                   Durability durability = Durability::cached) {
    Buffer buffer = co_await volume_->buffers().acquire(size);
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < size; i += 8) {
      const std::uint64_t word = i % 4096 < 2048 ? random() : seed;
      std::memcpy(buffer.data() + i, &word, 8);
    }
    auto done = co_await volume_->write(offset, std::move(buffer), durability);
    EXPECT_TRUE(done.ok());
  }
};

TEST_F(VolumeChangeTest, ImpossibleChangesAreToldAndChangeNothing) {
  run([&]() -> Task<void> {
    co_await open();
    const VolumeConfig before = volume_->super_block().config;
    expect_error(co_await volume_->grow({.logical_bytes = kLogicalBytes - 4096}), "cannot shrink");
    expect_error(co_await volume_->grow({.logical_bytes = kLogicalBytes + 1}), "multiple of 4096");
    expect_error(co_await volume_->grow({.physical_bytes = kVolumeBytes - 4096}), "cannot shrink");
    expect_error(co_await volume_->grow({.physical_bytes = kVolumeBytes + (64ULL << 20U)}),
                 "too little");
    expect_error(co_await volume_->grow({.physical_bytes = kDeviceBytes + 4096}),
                 "make it larger first");
    // Both in one step: neither, if one of them cannot be.
    expect_error(
        co_await volume_->grow({.logical_bytes = kLogicalBytes - 4096, .physical_max = true}),
        "cannot shrink");
    expect_error(co_await volume_->grow(
                     {.logical_bytes = 2 * kLogicalBytes, .physical_bytes = kDeviceBytes + 4096}),
                 "make it larger first");
    expect_error(co_await volume_->resume(), "not suspended");
    EXPECT_EQ(volume_->super_block().config, before);
    expect_ok(co_await volume_->suspend(SuspendMode::no_save));
    expect_error(co_await volume_->suspend(SuspendMode::save), "suspended already");
    expect_error(co_await volume_->grow({.logical_bytes = 2 * kLogicalBytes}), "resume it first");
    expect_error(co_await volume_->grow({.physical_max = true}), "resume it first");
    EXPECT_EQ(volume_->super_block().config, before);
    expect_ok(co_await volume_->resume());
    expect_ok(co_await volume_->grow({.physical_max = true}));
    EXPECT_EQ(volume_->super_block().config.physical_blocks, kDeviceBytes / 4096);
    co_await stop();
  });
}

TEST_F(VolumeChangeTest, WhereThereIsNothingToDoNothingIsDone) {
  run([&]() -> Task<void> {
    co_await open();
    expect_ok(co_await volume_->grow({.physical_bytes = kVolumeBytes}));
    EXPECT_EQ(volume_->super_block().config.physical_blocks, kVolumeBytes / 4096);
    expect_ok(co_await volume_->grow({.physical_max = true}));
    const SuperBlock largest = volume_->super_block();
    expect_ok(co_await volume_->grow({.physical_max = true}));
    expect_ok(co_await volume_->grow({.physical_bytes = kDeviceBytes}));
    expect_ok(co_await volume_->grow({.logical_bytes = kLogicalBytes}));
    EXPECT_EQ(volume_->super_block(), largest);
    co_await stop();
  });
}

TEST_F(VolumeChangeTest, AnIndexThatIsBeingClosedIsNotSavedBesideByAStopWithoutTheDevice) {
  SlowIndex::Seen seen;
  run([&]() -> Task<void> {
    IndexFactory factory = [&](Executor& executor, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<SlowIndex>(executor, seen);
    };
    auto opened =
        co_await Volume::open(*loop_, *device_, options_, factory, [](const std::string&) {});
    EXPECT_TRUE(opened.ok());
    volume_ = std::move(*opened);
    expect_ok(co_await volume_->suspend(SuspendMode::save));
    TaskGroup closing(*loop_);
    closing.start([](Volume& volume) -> Task<void> {
      [[maybe_unused]] const auto closed = co_await volume.close_index();
    }(*volume_));
    EXPECT_EQ(seen.saving, 1);
    co_await stop();
    co_await closing.wait();
  });
  EXPECT_EQ(seen.most, 1);
  EXPECT_EQ(seen.saves, 2);
}

TEST_F(VolumeChangeTest, BothSizesGrowInOneStep) {
  run([&]() -> Task<void> {
    co_await open();
    expect_ok(co_await volume_->grow({.logical_bytes = 2 * kLogicalBytes, .physical_max = true}));
    EXPECT_EQ(volume_->size(), 2 * kLogicalBytes);
    EXPECT_EQ(volume_->super_block().config.physical_blocks, kDeviceBytes / 4096);
    co_await stop();
    co_await open();
    EXPECT_EQ(volume_->size(), 2 * kLogicalBytes);
    EXPECT_EQ(volume_->super_block().config.physical_blocks, kDeviceBytes / 4096);
    co_await stop();
  });
}

TEST_F(VolumeChangeTest, WhatALogicalGrowthInUseHasAddedCanBeUsed) {
  run([&]() -> Task<void> {
    co_await open();
    expect_ok(co_await volume_->grow({.logical_bytes = 100ULL << 40U}));
    // Each leaf needs pages above it that the old map had no memory for. With a sanitizer what
    // completes at once deepens the stack: the turns in between begin it anew.
    for (std::uint64_t i = 0; i < 600; ++i) {
      co_await write(i * (155ULL << 30U), 4096, i);
      co_await loop_->turn_end();
    }
    expect_ok(co_await volume_->flush());
    co_await stop();
    co_await open();
    const auto extents = co_await volume_->extents(599 * (155ULL << 30U), 4096, 1);
    EXPECT_EQ(extents->front().kind, ExtentKind::data);
    co_await stop();
  });
}

TEST_F(VolumeChangeTest, AGrowthThatTheMachineHasNoMemoryForChangesNothing) {
  const std::uint64_t now = (64ULL << 20U) + (1ULL << 30U);
  options_.memory_within_reach = [&] { return MachineMemory{now, "what the test has free"}; };
  run([&]() -> Task<void> {
    co_await open();
    expect_error(co_await volume_->grow({.logical_bytes = 2ULL << 50U}), "needs up to 3.9 GiB");
    expect_error(co_await volume_->grow({.logical_bytes = 2ULL << 50U, .physical_max = true}),
                 "what the test has free is 1.1 GiB");
    EXPECT_EQ(volume_->size(), kLogicalBytes);
    EXPECT_EQ(volume_->super_block().config.physical_blocks, kVolumeBytes / 4096);
    expect_ok(co_await volume_->grow({.logical_bytes = 1ULL << 40U}));
    EXPECT_EQ(volume_->size(), 1ULL << 40U);
    co_await stop();
  });
}

TEST_F(VolumeChangeTest, RequestsWaitWhileItIsSuspended) {
  run([&]() -> Task<void> {
    co_await open();
    co_await write(0, 4096, 1);
    expect_ok(co_await volume_->suspend(SuspendMode::save));
    EXPECT_EQ(volume_->super_block().state, VolumeState::clean);
    int answered = 0;
    TaskGroup waiting(*loop_);
    const auto later = [&](std::uint64_t at) -> Task<void> {
      co_await write(at, 4096, at);
      ++answered;
    };
    for (std::uint64_t i = 0; i < 50; ++i) waiting.start(later(i * 4096));
    Alarm alarm(*loop_);
    co_await alarm.sleep(std::chrono::milliseconds(100));
    EXPECT_EQ(answered, 0);
    expect_ok(co_await volume_->resume());
    co_await waiting.wait();
    EXPECT_EQ(answered, 50);
    co_await stop();
  });
}

TEST_F(VolumeChangeTest, ASuspendedVolumeThatIsStoppedLetsThoseWhoWaitGo) {
  run([&]() -> Task<void> {
    co_await open();
    co_await write(0, 4096, 1);
    expect_ok(co_await volume_->suspend(SuspendMode::save));
    Result<void> waited;
    TaskGroup waiting(*loop_);
    const auto flush = [&]() -> Task<void> { waited = co_await volume_->flush(); };
    waiting.start(flush());
    expect_ok(co_await volume_->end_suspension());
    co_await waiting.wait();
    EXPECT_FALSE(waited.ok());
    co_await stop();
    co_await open();
    EXPECT_FALSE(volume_->is_read_only());
    co_await stop();
  });
}

}  // namespace
}  // namespace uvdo
