// SPDX-License-Identifier: GPL-2.0-or-later
// Rules of the volume that random histories would rarely break: each is tried where it matters.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "content.h"
#include "device/sim_device.h"
#include "format/slab_layout.h"
#include "history.h"
#include "index/bounded_memory_index.h"
#include "volume/format_volume.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

class VolumeRules : public testing::Test {
 protected:
  void format(const VolumeShape& shape) {
    layout_ = make_tiny_layout(shape);
    disk_ = std::make_unique<SimDevice>(
        executor_, (layout_.super_block.config.physical_blocks + 16) * kBlockSize);
    run([&]() -> Task<void> { expect_ok(co_await format_volume(*disk_, layout_)); });
  }
  template <class Body>
  void run(Body body) {
    const auto outcome = executor_.run(body());
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_EQ(disk_->misuse(), "");
  }
  static void expect_ok(const Result<void>& result) {
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message());
  }
  Task<void> open(VolumeOptions options = {}) {
    options.block_map_cache_pages = 16;
    options.buffer_bytes = 1U << 20U;
    IndexFactory factory = [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<BoundedMemoryIndex>(4096);
    };
    auto opened = co_await Volume::open(executor_, *disk_, options, std::move(factory),
                                        [](const std::string&) {});
    if (!opened) {
      ADD_FAILURE() << opened.error().message();
      co_return;
    }
    volume_ = std::move(*opened);
  }
  Task<Result<void>> write(std::uint64_t block, std::uint32_t content) {
    Buffer buffer = co_await volume_->buffers().acquire(kBlockSize);
    fill_block({ContentKind::unique, content}, buffer.bytes());
    co_return co_await volume_->write(block * kBlockSize, std::move(buffer), Durability::cached);
  }
  Task<void> write_into(Result<void>& done, std::uint64_t block, std::uint32_t content) {
    done = co_await write(block, content);
  }

  [[nodiscard]] std::uint64_t device_byte(Pbn pbn) const {
    return layout_.geometry.device_byte(pbn);
  }

  SimExecutor executor_{{.seed = 11}};
  VolumeLayout layout_;
  std::unique_ptr<SimDevice> disk_;
  std::unique_ptr<Volume> volume_;
};

// Writes of duplicates are promised room that they give back: who finds nothing but promises waits
// for them.
TEST_F(VolumeRules, RoomThatIsOnlyPromisedIsWaitedForBeforeAVolumeIsFull) {
  constexpr std::uint64_t kSpare = 4;
  format({8, 1, 16, 16, 2000});
  run([&]() -> Task<void> {
    co_await open();
    std::uint32_t used = 0;
    Result<void> done;
    while (done) {
      done = co_await write(used, 100 + used);
      if (done) ++used;
    }
    EXPECT_EQ(done.error().code(), Errc::no_space);
    EXPECT_GT(used, kSpare);
    expect_ok(co_await volume_->discard(0, kSpare * kBlockSize, Durability::cached));
    expect_ok(co_await volume_->flush());
    // As many duplicates as there is room for, and one new block beside them.
    TaskGroup writers(executor_);
    std::array<Result<void>, kSpare> duplicates;
    for (std::uint32_t i = 0; i < kSpare; ++i) {
      writers.start(write_into(duplicates[i], 700 + i, 100 + kSpare + i));
    }
    EXPECT_EQ(volume_->depot().free_blocks(), 0U);
    Result<void> another;
    writers.start(write_into(another, 710, 9'000));
    co_await writers.wait();
    for (const auto& duplicate : duplicates) expect_ok(duplicate);
    expect_ok(another);
    expect_ok(co_await volume_->flush());
    EXPECT_EQ(volume_->depot().free_blocks(), kSpare - 1);
    // And if all of it is used in the end, the volume is full.
    std::array<Result<void>, kSpare + 2> fresh;
    for (std::uint32_t i = 0; i < fresh.size(); ++i) {
      writers.start(write_into(fresh[i], 720 + i, 9'100 + i));
    }
    co_await writers.wait();
    EXPECT_EQ(std::ranges::count_if(fresh, [](const auto& result) { return result.ok(); }),
              kSpare - 1);
    EXPECT_FALSE(volume_->is_read_only());
    expect_ok(co_await volume_->stop());
    volume_.reset();
  });
  EXPECT_EQ(audit_image(disk_->durable()), std::nullopt);
}

/// Reads off a recording whether reference blocks were ever written while the summary was at risk.
class SummaryWatch {
 public:
  explicit SummaryWatch(const VolumeLayout& layout) : slabs_(layout.super_block.depot) {
    summary_ = layout.super_block.find(PartitionId::slab_summary);
  }
  void see(const SimEvent& event) {
    const Pbn pbn{event.offset / kBlockSize};
    const bool is_summary = pbn >= summary_.start && pbn < summary_.end();
    switch (event.kind) {
      case SimEvent::Kind::write_submitted:
        if (is_summary) numbers_.push_back(event.number);
        if (is_reference(pbn)) {
          ++references_;
          if (at_risk_) ++early_;
        }
        return;
      case SimEvent::Kind::write_completed:
        if (std::ranges::find(numbers_, event.number) == numbers_.end()) return;
        at_risk_ = true;
        flushes_.clear();
        return;
      case SimEvent::Kind::flush_submitted: flushes_.push_back(event.number); return;
      case SimEvent::Kind::flush_completed:
        if (std::ranges::find(flushes_, event.number) != flushes_.end()) at_risk_ = false;
        return;
    }
  }
  [[nodiscard]] std::uint64_t references() const { return references_; }
  [[nodiscard]] std::uint64_t early() const { return early_; }

 private:
  [[nodiscard]] bool is_reference(Pbn pbn) const {
    for (SlabNumber slab = 0; slab < slabs_.slab_count(); ++slab) {
      const Pbn first = slabs_.reference_block(slab, 0);
      if (pbn >= first && pbn < slabs_.journal_block_at(slab, 0)) return true;
    }
    return false;
  }
  SlabLayout slabs_;
  Partition summary_;
  std::vector<std::uint64_t> numbers_;
  std::vector<std::uint64_t> flushes_;  // begun since it is
  bool at_risk_ = false;
  std::uint64_t references_ = 0;
  std::uint64_t early_ = 0;
};

// Why is told in slab_writer.cpp.
TEST_F(VolumeRules, ReferenceBlocksAreWrittenWhenTheSummaryIsDurable) {
  format({9, 2, 8, 16, 2000});
  disk_->start_recording();
  run([&]() -> Task<void> {
    co_await open();
    for (std::uint32_t round = 0; round < 40; ++round) {
      TaskGroup writers(executor_);
      std::array<Result<void>, 100> done;
      for (std::uint32_t i = 0; i < done.size(); ++i) {
        writers.start(write_into(done[i], (round * 37 + i * 7) % 1500 / 5, round * 1000 + i));
      }
      co_await writers.wait();
      for (const auto& result : done) expect_ok(result);
    }
    expect_ok(co_await volume_->stop());
    volume_.reset();
  });
  SummaryWatch watch(layout_);
  for (const SimEvent& event : disk_->recording().events) watch.see(event);
  EXPECT_GT(watch.references(), 0U);
  EXPECT_EQ(watch.early(), 0U) << "of " << watch.references();
}

// Something on its way to the disk fails while the volume is being suspended.
TEST_F(VolumeRules, AFailureDuringASuspensionIsRecordedAndLetsTheDeviceAlone) {
  constexpr std::uint32_t kTries = 60;
  std::uint32_t read_only = 0;
  for (std::uint32_t skip = 0; skip < kTries; ++skip) {
    for (const auto mode : {Volume::SuspendMode::save, Volume::SuspendMode::no_save}) {
      SCOPED_TRACE(skip);
      format({9, 2, 8, 16, 2000});
      VolumeState expected{};
      run([&]() -> Task<void> {
        VolumeOptions options;
        options.commit_delay = Duration(1000);
        co_await open(options);
        TaskGroup writers(executor_);
        std::array<Result<void>, 300> done;
        for (std::uint32_t i = 0; i < done.size(); ++i) {
          writers.start(write_into(done[i], i * 5, i + 10));
        }
        co_await writers.wait();
        SimFault fault;  // of all but the super block
        fault.reads = fault.flushes = false;
        fault.begin = device_byte(layout_.geometry.data_start + 1);
        fault.skip = skip;
        disk_->add_fault(fault);
        const auto suspended = co_await volume_->suspend(mode);
        if (suspended) {
          const std::uint64_t requests = disk_->requests();
          Alarm pause(executor_);
          co_await pause.sleep(std::chrono::milliseconds(50));
          EXPECT_EQ(disk_->requests(), requests) << "a suspended volume used its device";
          EXPECT_EQ(disk_->in_flight(), 0U);
          disk_->clear_faults();
          [[maybe_unused]] const auto resumed = co_await volume_->resume();
        }
        disk_->clear_faults();
        const bool is_read_only = volume_->is_read_only();
        read_only += is_read_only ? 1 : 0;
        [[maybe_unused]] const auto stopped = co_await volume_->stop();
        expected = is_read_only ? VolumeState::read_only_mode : VolumeState::clean;
        volume_.reset();
      });
      AlignedMemory block(kBlockSize);
      disk_->durable().read(device_byte(layout_.geometry.data_start), block.bytes());
      const auto found = decode_super_block(block.bytes(), layout_.geometry);
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(found->state, expected);
    }
  }
  EXPECT_GT(read_only, kTries / 4);
}

}  // namespace
}  // namespace uvdo::sim
