// SPDX-License-Identifier: GPL-2.0-or-later
// Formatting over an old volume, with a power cut at each moment: what is found afterwards is the
// old volume, none, or the new one, and never one with parts of the other.
#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "device/crash_states.h"
#include "format/zero_block.h"
#include "history.h"
#include "volume/format_volume.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

// Of the larger one super block, journal and summary are elsewhere.
constexpr VolumeShape kOldShape{9, 2, 224, 16, 2000};
constexpr VolumeShape kNewShape{10, 2, 64, 32, 1000};

/// How a device answers write_zeroes.
enum class Zeroing : std::uint8_t { none, right, lying };

class ZeroingDevice final : public Device {
 public:
  ZeroingDevice(SimDevice& device, Zeroing zeroing) : device_(device), zeroing_(zeroing) {}
  void submit(Request& request) override {
    // (Only blocks of writes count that are not cleared by the device.)
    if (request.op == Op::write) written_ += request.length;
    if (request.op != Op::write_zeroes || zeroing_ == Zeroing::right) {
      device_.submit(request);
      return;
    }
    request.error = zeroing_ == Zeroing::none ? EOPNOTSUPP : 0;
    request.done = true;
  }
  [[nodiscard]] const std::string& name() const override { return device_.name(); }
  [[nodiscard]] std::uint64_t written() const { return written_; }

 private:
  SimDevice& device_;
  Zeroing zeroing_;
  std::uint64_t written_ = 0;
};

class Format : public ::testing::Test {
 protected:
  /// A volume in use that has data, and something where its index begins.
  void SetUp() override {
    new_.geometry.nonce = new_.super_block.nonce = 0xF00D;
    VolumeSubject subject(kOldShape);
    SimExecutor executor({.seed = 1});
    SimDevice disk(executor, SparseImage(size_));
    const auto outcome = executor.run(use(executor, disk, subject));
    ASSERT_TRUE(outcome) << outcome.why;
    image_ = disk.durable();
    AlignedMemory index(kBlockSize);
    fill_block({ContentKind::unique, 5}, index.bytes());
    image_.write(old_.geometry.index_start.value() * kBlockSize, index.bytes());
  }
  static Task<void> use(Executor& executor, BackingStore& disk, VolumeSubject& subject) {
    auto done = co_await format_volume(disk, make_tiny_layout(kOldShape));
    EXPECT_TRUE(done.ok());
    auto opened = co_await subject.open(executor, disk);
    EXPECT_TRUE(opened.ok());
    const std::unique_ptr<Instance> instance = *std::move(opened);
    for (std::uint64_t i = 0; i < 300; ++i) {
      Buffer buffer = co_await instance->service().buffers().acquire(kBlockSize);
      fill_block({ContentKind::unique, static_cast<std::uint32_t>(i) + 10}, buffer.bytes());
      done = co_await instance->service().write(i * 5 * kBlockSize, std::move(buffer),
                                                Durability::cached);
      EXPECT_TRUE(done.ok());
    }
    done = co_await instance->stop();
    EXPECT_TRUE(done.ok());
  }

  [[nodiscard]] AlignedMemory read(const SparseImage& image, Pbn pbn) const {
    AlignedMemory block(kBlockSize);
    image.read(pbn.value() * kBlockSize, block.bytes());
    return block;
  }
  [[nodiscard]] bool is_zero(const SparseImage& image, Pbn first, std::uint64_t blocks) const {
    for (std::uint64_t i = 0; i < blocks; ++i) {
      if (!is_zero_block(read(image, first + i).data())) return false;
    }
    return true;
  }
  /// What is wrong with what a power cut has left; empty if nothing is.
  [[nodiscard]] std::string judge(const SparseImage& image) const {
    const auto geometry = decode_volume_geometry(read(image, Pbn{0}).bytes());
    if (!geometry) return {};
    if (geometry->nonce == old_.geometry.nonce) {
      // Its index may be gone, which is made anew then.
      SparseImage with_index = image;
      const Pbn index = old_.geometry.index_start;
      with_index.write(index.value() * kBlockSize, read(image_, index).bytes());
      return with_index.hash() == image_.hash() ? "" : "the old volume is found, and has changed";
    }
    const auto super_block =
        decode_super_block(read(image, geometry->data_start).bytes(), *geometry);
    if (!super_block) return "the new volume is found without its super block";
    if (*super_block != new_.super_block) return "the super block is not the new one";
    if (!is_zero(image, geometry->index_start, 1)) return "the old index is found";
    for (const PartitionId id : {PartitionId::block_map, PartitionId::recovery_journal}) {
      const Partition partition = super_block->find(id);
      if (!is_zero(image, partition.start, partition.blocks)) return "old metadata are found";
    }
    return {};
  }
  SparseImage format_anew(Zeroing zeroing, FaultPoints mistake, std::uint64_t& written) {
    SimExecutor executor({.seed = 2});
    SimDevice disk(executor, image_);
    disk.start_recording();
    ZeroingDevice device(disk, zeroing);
    Result<void> done;
    const auto outcome = executor.run([](Device& where, const VolumeLayout& layout,
                                         FaultPoints faults, Result<void>& result) -> Task<void> {
      result = co_await format_volume(where, layout, faults);
    }(device, new_, mistake, done));
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_TRUE(done.ok());
    EXPECT_EQ(disk.misuse(), "");
    recording_ = disk.recording();
    written = device.written();
    return disk.durable();
  }
  std::string cut_everywhere(Zeroing zeroing, FaultPoints mistake) {
    std::uint64_t written = 0;
    format_anew(zeroing, mistake, written);
    SimRandom random(1);
    CrashPoints points(recording_);
    std::uint64_t old_ones = 0;
    std::uint64_t new_ones = 0;
    do {
      for (const SparseImage& left : points.states({}, random)) {
        if (std::string wrong = judge(left); !wrong.empty()) return wrong;
        const auto geometry = decode_volume_geometry(read(left, Pbn{0}).bytes());
        if (!geometry) continue;
        ++(geometry->nonce == old_.geometry.nonce ? old_ones : new_ones);
      }
    } while (points.next());
    EXPECT_GT(old_ones, 0U);
    EXPECT_GT(new_ones, 0U);
    return {};
  }

  const VolumeLayout old_ = make_tiny_layout(kOldShape);
  VolumeLayout new_ = make_tiny_layout(kNewShape);
  const std::uint64_t size_ =
      std::max(old_.super_block.config.physical_blocks, new_.super_block.config.physical_blocks) *
      kBlockSize;
  SparseImage image_{0};
  SimRecording recording_{SparseImage(0), {}};
};

TEST_F(Format, OverAnOldVolumeNeverLeavesPartsOfItToBeFound) {
  EXPECT_EQ(cut_everywhere(Zeroing::none, FaultPoints()), "");
}

TEST_F(Format, OnADeviceThatZeroesLeavesNoPartsEitherWhicheverBlocksAPowerCutTakesBack) {
  EXPECT_EQ(cut_everywhere(Zeroing::right, FaultPoints()), "");
}

TEST_F(Format, WithoutTheFlushBehindTheOldGeometryIsNoticed) {
  if (!FaultPoints::kPossible) GTEST_SKIP() << "no mistakes can be made in this build";
  EXPECT_NE(cut_everywhere(Zeroing::none, FaultPoints(Fault::format_without_flush)), "");
}

TEST_F(Format, BelievesWhatADeviceReadsAndNotWhatItHasPromised) {
  std::uint64_t written = 0;
  const SparseImage slow = format_anew(Zeroing::none, {}, written);
  std::uint64_t written_fast = 0;
  EXPECT_EQ(format_anew(Zeroing::right, {}, written_fast).hash(), slow.hash());
  // Geometry (twice), index and super block are written in any case.
  EXPECT_EQ(written_fast, 4 * kBlockSize);
  std::uint64_t written_after_a_lie = 0;
  EXPECT_EQ(format_anew(Zeroing::lying, {}, written_after_a_lie).hash(), slow.hash());
  EXPECT_GT(written_after_a_lie, written_fast);
}

}  // namespace
}  // namespace uvdo::sim
