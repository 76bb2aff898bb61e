// SPDX-License-Identifier: GPL-2.0-or-later
// What a client asks for at any length, and walks over the whole volume, give way: on a device that
// answers at once, where nothing else ever interrupts them, the work between two turns is counted.
#include <cstring>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "index/bounded_memory_index.h"
#include "volume/format_volume.h"
#include "volume/volume.h"

namespace uvdo::sim {
namespace {

constexpr std::uint64_t kDeviceBytes = 4ULL << 30U;
constexpr std::uint64_t kLogicalBytes = 64ULL << 30U;
constexpr std::uint64_t kData = 32ULL << 20U;
constexpr std::uint64_t kZeroes = 1ULL << 30U;
/// Without giving way, and without the tail calls that a sanitizer takes away, each leaf takes some
/// of the stack.
constexpr std::uint64_t kFewZeroes = 160ULL << 20U;
/// A turn, and the piece of work that had begun when it was over.
constexpr std::uint64_t kMostUnits = 2 * kTurnUnits;

/// The most that a figure has grown by in one step.
class Meter {
 public:
  void look(std::uint64_t now) {
    most_ = std::max(most_, now - last_);
    last_ = now;
  }
  [[nodiscard]] std::uint64_t most() const { return most_; }

 private:
  std::uint64_t last_ = 0;
  std::uint64_t most_ = 0;
};

class LongRequest : public ::testing::Test {
 protected:
  void serve(FaultPoints faults, std::uint64_t zeroes) {
    auto device = MemoryDevice::create(kDeviceBytes);
    ASSERT_TRUE(device.ok());
    FormatRequest request;
    request.device_bytes = kDeviceBytes;
    request.slab_bits = 13;
    request.logical_bytes = kLogicalBytes;
    request.nonce = 9;
    const auto layout = make_volume_layout(request);
    ASSERT_TRUE(layout.ok());
    VolumeOptions options;
    options.block_map_cache_pages = 1024;
    options.faults = faults;
    executor_.on_step([this] {
      if (volume_ == nullptr) return;
      leaves_.look(volume_->block_map().counters().found_in_cache);
      entries_.look(volume_->journal().counters().entries.started);
    });
    const auto outcome = executor_.run(life(**device, *layout, options, zeroes));
    EXPECT_TRUE(outcome.finished) << outcome.why;
  }

  Task<void> life(BackingStore& device, const VolumeLayout& layout, const VolumeOptions& options,
                  std::uint64_t zeroes) {
    expect_ok(co_await format_volume(device, layout));
    IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<BoundedMemoryIndex>(1U << 16U);
    };
    auto opened = co_await Volume::open(executor_, device, options, factory, [](const LogLine&) {});
    if (!opened) {
      ADD_FAILURE() << opened.error().message();
      co_return;
    }
    const std::unique_ptr<Volume> volume = std::move(*opened);
    volume_ = volume.get();
    for (std::uint64_t at = 0; at < kData; at += BufferPool::kLargest) co_await write(at);
    expect_ok(co_await volume->flush());
    expect_ok(co_await volume->write_zeroes(kData, zeroes, ZeroMode::mapped, Durability::cached));
    // Beyond that nothing was ever written, to the volume's end.
    for (std::uint64_t at = 0; at < kLogicalBytes;) {
      auto extents = co_await volume->extents(at, kLogicalBytes - at, 256);
      if (!extents) break;
      for (const Extent& extent : *extents) at += extent.length;
    }
    co_await volume->count_savings(std::chrono::seconds(1));
    expect_ok(co_await volume->discard(0, kData + zeroes, Durability::fua));
    expect_ok(co_await volume->stop());
    volume_ = nullptr;
  }
  Task<void> free_in_pieces() {
    constexpr std::uint64_t kBytes = 256ULL << 20U;
    constexpr std::uint64_t kMostAtOnce = 16384;
    auto device = MemoryDevice::create(kDeviceBytes);
    FormatRequest request;
    request.device_bytes = kDeviceBytes;
    request.slab_bits = 13;
    request.logical_bytes = kLogicalBytes;
    request.nonce = 9;
    const auto layout = make_volume_layout(request);
    expect_ok(co_await format_volume(**device, *layout));
    VolumeOptions options;
    options.deduplication = false;
    IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<BoundedMemoryIndex>(16);
    };
    auto opened =
        co_await Volume::open(executor_, **device, options, factory, [](const LogLine&) {});
    const std::unique_ptr<Volume> volume = std::move(*opened);
    volume_ = volume.get();
    const SlabDepot& depot = volume->depot();
    for (std::uint64_t at = 0; at < kBytes; at += BufferPool::kLargest) co_await write(at);
    expect_ok(co_await volume->flush());
    const std::uint64_t used = depot.allocated_blocks();
    expect_ok(co_await volume->discard(0, kBytes, Durability::fua));
    EXPECT_EQ(depot.allocated_blocks(), used - kBytes / kBlockSize);
    EXPECT_GT(depot.pending_free_count(), 2 * kMostAtOnce);
    for (std::uint64_t i = 0; i < 16; ++i) {
      const std::uint64_t before = depot.free_blocks();
      co_await write(i * BufferPool::kLargest);
      EXPECT_LE(depot.free_blocks(), before + kMostAtOnce);
    }
    EXPECT_EQ(depot.pending_free_count(), 0U);
    expect_ok(co_await volume->stop());
    volume_ = nullptr;
  }
  Task<void> write(std::uint64_t at) {
    Buffer buffer = co_await volume_->buffers().acquire(BufferPool::kLargest);
    for (std::size_t i = 0; i < buffer.size(); i += 8) store_le64(buffer.data() + i, at + i);
    expect_ok(co_await volume_->write(at, std::move(buffer), Durability::cached));
  }
  static void expect_ok(const Result<void>& result) {
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message());
  }

  SimExecutor executor_{{.seed = 1, .order = SimOrder::fifo, .stall_one_in = 0}};
  Volume* volume_ = nullptr;
  Meter leaves_;
  Meter entries_;
};

TEST_F(LongRequest, GivesWay) {
  serve({}, kZeroes);
  EXPECT_LE(executor_.longest_turn(), kMostUnits);
  // Counted by those who do the work, and not by those who say that they have.
  EXPECT_LE(leaves_.most(), kMostUnits / kEntriesPerPage);
  EXPECT_LE(entries_.most(), kMostUnits / 5);
}

TEST_F(LongRequest, ThatKeepsItsTurnIsNoticed) {
  if (!FaultPoints::kPossible) GTEST_SKIP() << "a build without fault points";
  serve(FaultPoints(Fault::long_request_keeps_turn), kFewZeroes);
  EXPECT_GT(executor_.longest_turn(), 4 * kMostUnits);
  EXPECT_GT(entries_.most(), kMostUnits / 5);
}

// A write after a long discard does not have to make free all that this has left.
TEST_F(LongRequest, BlocksOfALongDiscardBecomeFreeInPieces) {
  const auto outcome = executor_.run(free_in_pieces());
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(LongGrowth, ByThousandsOfSlabsGivesWay) {
  SimExecutor executor({.seed = 1, .order = SimOrder::fifo, .stall_one_in = 0});
  const auto outcome = executor.run([](SimExecutor& on) -> Task<void> {
    constexpr SlabNumber kSlabs = 2000;
    constexpr std::uint64_t kUnitsPerSlab = 50;  // at least
    auto device = MemoryDevice::create(2 * kDeviceBytes);
    FormatRequest request;
    request.device_bytes = kDeviceBytes;
    request.slab_bits = 8;
    request.small_slabs = true;
    request.logical_bytes = kLogicalBytes;
    request.nonce = 9;
    const auto layout = make_volume_layout(request);
    if (!device || !layout) {
      ADD_FAILURE() << "no volume";
      co_return;
    }
    EXPECT_TRUE((co_await format_volume(**device, *layout)).ok());
    IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<BoundedMemoryIndex>(16);
    };
    auto opened = co_await Volume::open(on, **device, {}, factory, [](const LogLine&) {});
    const std::unique_ptr<Volume> volume = std::move(*opened);
    const SlabNumber slabs = volume->depot().slab_count();
    const std::uint64_t free = volume->depot().free_blocks();
    const std::uint64_t steps = on.steps();
    EXPECT_TRUE((co_await volume->grow({.physical_max = true})).ok());
    const SlabNumber added = volume->depot().slab_count() - slabs;
    EXPECT_GE(added, kSlabs);
    EXPECT_GE(on.steps() - steps, added * kUnitsPerSlab / kTurnUnits);
    EXPECT_EQ(volume->depot().free_blocks(),
              free + added * layout->super_block.depot.slab.data_blocks);
    EXPECT_TRUE((co_await volume->stop()).ok());
  }(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
  EXPECT_LE(executor.longest_turn(), kMostUnits);
}

}  // namespace
}  // namespace uvdo::sim
