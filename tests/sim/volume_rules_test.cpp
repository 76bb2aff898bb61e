// SPDX-License-Identifier: GPL-2.0-or-later
// Rules of the volume that random histories would rarely break: each is tried where it matters.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned_memory.h"
#include "content.h"
#include "device/sim_device.h"
#include "format/slab_layout.h"
#include "history.h"
#include "index/bounded_memory_index.h"
#include "volume/format_volume.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

class VolumeRules : public ::testing::Test {
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
  /// Whether a block has the content; that is found out within a tenth of a second.
  Task<void> expect_content(std::uint64_t block, std::uint32_t content) {
    const AlignedMemory wanted(kBlockSize);
    const AlignedMemory found(kBlockSize);
    fill_block({ContentKind::unique, content}, wanted.bytes());
    const TimePoint begun = executor_.now();
    expect_ok(co_await volume_->read(block * kBlockSize, found.bytes()));
    EXPECT_LT(executor_.now() - begun, std::chrono::milliseconds(100));
    EXPECT_TRUE(std::ranges::equal(wanted.bytes(), found.bytes()));
  }
  Task<void> write_many(std::uint32_t count, std::uint32_t content) {
    TaskGroup writers(executor_);
    std::vector<Result<void>> done(count);
    for (std::uint32_t i = 0; i < count; ++i)
      writers.start(write_into(done[i], i * 5, content + i));
    co_await writers.wait();
    for (const auto& result : done) expect_ok(result);
  }
  /// From now on no write finds room, after so many.
  void fill_up(std::uint64_t skip) {
    SimFault fault;
    fault.kind = SimFault::Kind::full;
    fault.skip = skip;
    disk_->add_fault(fault);
  }
  /// There is room again: what waited is written, and a flush says so.
  Task<void> give_room() {
    disk_->clear_faults();
    Alarm pause(executor_);
    while (!volume_->room().is_open()) co_await pause.sleep(std::chrono::milliseconds(10));
    Result<void> flushed = co_await volume_->flush();
    expect_ok(flushed);
  }

  [[nodiscard]] std::uint64_t device_byte(Pbn pbn) const {
    return uvdo::device_byte(pbn, layout_.geometry.bio_offset);
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
    expect_ok(co_await volume_->flush());
    const std::uint64_t all = volume_->depot().allocated_blocks();
    expect_ok(co_await volume_->discard(0, kSpare * kBlockSize, Durability::cached));
    expect_ok(co_await volume_->flush());
    EXPECT_EQ(volume_->depot().allocated_blocks(), all - kSpare);
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
    EXPECT_EQ(volume_->depot().allocated_blocks(), all - kSpare + 1);
    EXPECT_EQ(volume_->depot().free_blocks(), kSpare - 1);
    // And if all of it is used in the end, the volume is full.
    std::array<Result<void>, kSpare + 2> fresh;
    for (std::uint32_t i = 0; i < fresh.size(); ++i) {
      writers.start(write_into(fresh[i], 720 + i, 9'100 + i));
    }
    co_await writers.wait();
    EXPECT_EQ(std::ranges::count_if(fresh, [](const auto& result) { return result.ok(); }),
              kSpare - 1);
    EXPECT_EQ(volume_->depot().allocated_blocks(), all);
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

class ReferenceRules : public VolumeRules {
 protected:
  /// A volume whose slab journals go round: each pass ends blocks of them early.
  SummaryWatch watch_a_life(FaultPoints faults) {
    format({10, 4, 8, 16, 2000});
    disk_->start_recording();
    run([&]() -> Task<void> {
      VolumeOptions options;
      options.faults = faults;
      co_await open(options);
      for (std::uint32_t round = 0; round < 240; ++round) {
        TaskGroup writers(executor_);
        std::array<Result<void>, 100> done;
        for (std::uint32_t i = 0; i < done.size(); ++i) {
          writers.start(write_into(done[i], (round * 37 + i * 7) % 1500, round * 1000 + i));
        }
        co_await writers.wait();
        for (const auto& result : done) expect_ok(result);
      }
      expect_ok(co_await volume_->stop());
      volume_.reset();
    });
    SummaryWatch watch(layout_);
    for (const SimEvent& event : disk_->recording().events) watch.see(event);
    return watch;
  }
};

// Why is told in slab_writer.cpp.
TEST_F(ReferenceRules, ReferenceBlocksAreWrittenWhenTheSummaryIsDurable) {
  const SummaryWatch watch = watch_a_life({});
  EXPECT_GE(watch.references(), 10U);
  EXPECT_EQ(watch.early(), 0U) << "of " << watch.references();
}

TEST_F(ReferenceRules, ReferenceBlocksThatAreWrittenBeforeAreNoticed) {
  if (!FaultPoints::kPossible) GTEST_SKIP() << "a build without fault points";
  const SummaryWatch watch = watch_a_life(FaultPoints(Fault::counts_before_summary));
  EXPECT_GE(watch.early(), watch.references() / 4);
}

// Something on its way to the disk fails while the volume is being suspended: each write in turn.
TEST_F(VolumeRules, AFailureDuringASuspensionIsRecordedAndLetsTheDeviceAlone) {
  for (const auto mode : {SuspendMode::save, SuspendMode::no_save}) {
    std::uint32_t failed = 0;
    for (bool has_failed = true; has_failed; ++failed) {
      SCOPED_TRACE(failed);
      ASSERT_LT(failed, 1000U);
      format({9, 2, 8, 16, 2000});
      VolumeState expected{};
      run([&]() -> Task<void> {
        VolumeOptions options;
        options.commit_delay = Duration(1000);
        co_await open(options);
        co_await write_many(300, 10);
        SimFault fault;  // of all but the super block
        fault.reads = fault.flushes = false;
        fault.begin = device_byte(layout_.geometry.data_start + 1);
        fault.skip = failed;
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
        has_failed = disk_->has_faulted();
        EXPECT_EQ(volume_->is_read_only(), has_failed);
        expected = volume_->is_read_only() ? VolumeState::read_only_mode : VolumeState::clean;
        [[maybe_unused]] const auto stopped = co_await volume_->stop();
        volume_.reset();
      });
      AlignedMemory block(kBlockSize);
      disk_->durable().read(device_byte(layout_.geometry.data_start), block.bytes());
      const auto found = decode_super_block(block.bytes(), layout_.geometry);
      ASSERT_TRUE(found.ok());
      EXPECT_EQ(found->state, expected);
    }
    EXPECT_GT(failed, 1U);
  }
}

// ---- what the administrator asks for while there is no room beneath

constexpr Duration kPatience = std::chrono::seconds(2);
/// Of a device that takes a while for each attempt.
constexpr Duration kAnswered = kPatience + std::chrono::milliseconds(300);

VolumeOptions patient_options() {
  VolumeOptions options;
  options.no_space_timeout = kPatience;
  options.commit_delay = std::chrono::seconds(5);
  return options;
}

TEST_F(VolumeRules, ASuspensionWithoutRoomBeneathIsGivenUpWithinTheTimeLimit) {
  for (const auto mode : {SuspendMode::save, SuspendMode::no_save}) {
    std::uint32_t refused = 0;
    for (bool is_refused = true; is_refused; ++refused) {
      SCOPED_TRACE(refused);
      ASSERT_LT(refused, 1000U);
      format({9, 2, 8, 16, 2000});
      run([&]() -> Task<void> {
        co_await open(patient_options());
        co_await write_many(300, 10);
        fill_up(refused);
        const TimePoint begun = executor_.now();
        const auto suspended = co_await volume_->suspend(mode);
        is_refused = !suspended.ok();
        if (is_refused) {
          EXPECT_LT(executor_.now() - begun, kAnswered);
          EXPECT_EQ(suspended.error().code(), Errc::no_space);
          EXPECT_NE(suspended.error().message().find("not suspended"), std::string::npos);
          for (std::uint32_t i = 0; i < 300; i += 60) co_await expect_content(i * 5, 10 + i);
          // Another one, and what is asked for behind it, is answered too.
          const TimePoint again = executor_.now();
          EXPECT_FALSE((co_await volume_->suspend(mode)).ok());
          EXPECT_FALSE((co_await volume_->grow({.logical_bytes = 9000 * kBlockSize})).ok());
          EXPECT_LT(executor_.now() - again, 4 * kAnswered);
        } else {
          disk_->clear_faults();
          expect_ok(co_await volume_->resume());
        }
        co_await give_room();
        EXPECT_FALSE(volume_->is_suspended());
        co_await write_many(300, 1000);
        expect_ok(co_await volume_->suspend(mode));
        expect_ok(co_await volume_->resume());
        co_await expect_content(5, 1001);
        EXPECT_FALSE(volume_->is_read_only());
        expect_ok(co_await volume_->stop());
        volume_.reset();
      });
      EXPECT_EQ(audit_image(disk_->durable()), std::nullopt);
    }
    EXPECT_GT(refused, mode == SuspendMode::save ? 5U : 1U);
  }
}

TEST_F(VolumeRules, AResumptionWithoutRoomBeneathIsAnsweredWithinTheTimeLimit) {
  format({9, 2, 8, 16, 2000});
  run([&]() -> Task<void> {
    co_await open(patient_options());
    co_await write_many(20, 10);
    expect_ok(co_await volume_->suspend(SuspendMode::save));
    fill_up(0);
    const TimePoint begun = executor_.now();
    const auto resumed = co_await volume_->resume();
    EXPECT_LT(executor_.now() - begun, kAnswered);
    EXPECT_FALSE(resumed.ok());
    EXPECT_EQ(resumed.error().code(), Errc::no_space);
    co_await give_room();
    EXPECT_FALSE(volume_->is_suspended());
    co_await expect_content(5, 11);
    expect_ok(co_await volume_->stop());
    volume_.reset();
  });
  EXPECT_EQ(audit_image(disk_->durable()), std::nullopt);
}

TEST_F(VolumeRules, AGrowthWithoutRoomBeneathIsGivenUpWithinTheTimeLimit) {
  std::uint32_t refused = 0;
  for (bool is_refused = true; is_refused; ++refused) {
    SCOPED_TRACE(refused);
    ASSERT_LT(refused, 1000U);
    format({8, 2, 8, 16, 2000});
    disk_ = std::make_unique<SimDevice>(
        executor_, (layout_.super_block.config.physical_blocks + 2000) * kBlockSize);
    run([&]() -> Task<void> {
      expect_ok(co_await format_volume(*disk_, layout_));
      co_await open(patient_options());
      co_await write_many(20, 10);
      const std::uint64_t size = volume_->size();
      const SlabNumber slabs = volume_->depot().slab_count();
      fill_up(refused);
      const TimePoint begun = executor_.now();
      const auto grown = co_await volume_->grow({.logical_bytes = 2 * size, .physical_max = true});
      is_refused = !grown.ok();
      if (is_refused) {
        EXPECT_LT(executor_.now() - begun, kAnswered);
        EXPECT_EQ(grown.error().code(), Errc::no_space);
        EXPECT_EQ(volume_->size(), size);
        EXPECT_EQ(volume_->depot().slab_count(), slabs);
        co_await expect_content(5, 11);
      }
      co_await give_room();
      expect_ok(co_await volume_->grow({.logical_bytes = 2 * size, .physical_max = true}));
      EXPECT_EQ(volume_->size(), 2 * size);
      EXPECT_GT(volume_->depot().slab_count(), slabs);
      co_await write_many(300, 1000);
      co_await expect_content(5, 1001);
      expect_ok(co_await volume_->stop());
      volume_.reset();
    });
    EXPECT_EQ(audit_image(disk_->durable()), std::nullopt);
  }
  EXPECT_GT(refused, 3U);
}

// What a suspension that is under way makes of it is no reason to call the loss of data a success.
TEST_F(VolumeRules, AStopBesideASuspensionWithoutRoomBeneathTellsWhatIsLost) {
  for (const auto mode : {SuspendMode::save, SuspendMode::no_save}) {
    SCOPED_TRACE(static_cast<int>(mode));
    format({9, 2, 8, 16, 2000});
    run([&]() -> Task<void> {
      VolumeOptions options = patient_options();
      options.no_space_timeout = std::chrono::seconds(60);
      co_await open(options);
      co_await write_many(20, 5);
      expect_ok(co_await volume_->flush());
      fill_up(0);
      co_await write_many(20, 50);  // answered, and not on the disk yet
      TaskGroup suspensions(executor_);
      Result<void> suspended;
      suspensions.start([](Volume& volume, SuspendMode how, Result<void>& done) -> Task<void> {
        done = co_await volume.suspend(how);
      }(*volume_, mode, suspended));
      Alarm pause(executor_);
      co_await pause.sleep(std::chrono::milliseconds(100));
      const TimePoint begun = executor_.now();
      const auto stopped = co_await volume_->stop();
      EXPECT_LT(executor_.now() - begun, std::chrono::seconds(11));
      co_await suspensions.wait();
      EXPECT_FALSE(suspended.ok());
      EXPECT_FALSE(stopped.ok());
      EXPECT_EQ(stopped.ok() ? Errc::cancelled : stopped.error().code(), Errc::no_space);
      volume_.reset();
      // It is as after a power cut, and nothing worse.
      disk_->clear_faults();
      co_await open();
      EXPECT_FALSE(volume_->is_read_only());
      expect_ok(co_await volume_->stop());
      volume_.reset();
    });
    EXPECT_EQ(audit_image(disk_->durable()), std::nullopt);
  }
}

}  // namespace
}  // namespace uvdo::sim
