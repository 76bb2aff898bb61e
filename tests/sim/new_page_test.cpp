// SPDX-License-Identifier: GPL-2.0-or-later
// A page of the block map that was made and never written, as a kernel's recovery leaves them: the
// block holds what was there before. The first version of such a page comes in two steps, for a
// power cut may leave it torn; the blocks of pages that this engine makes are cleared first.
#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "device/crash_states.h"
#include "format/block_map_page.h"
#include "history.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

constexpr VolumeShape kShape{9, 2, 224, 16, 2000};
constexpr std::uint64_t kBlock = 1000;  // in the second leaf, the only one that there is

class NewPage : public ::testing::Test {
 protected:
  /// A volume with a leaf without entries, whose block holds old data.
  void SetUp() override {
    VolumeSubject subject(kShape);
    Result<SparseImage> blank = format_image(subject);
    ASSERT_TRUE(blank);
    const std::string failure = use(subject, *std::move(blank), [](BlockService& service) {
      return write_and_discard(service);
    });
    ASSERT_EQ(failure, "");
    Pbn leaf;
    AlignedMemory block(kBlockSize);
    for (std::uint64_t n = 0; n < image_.size() / kBlockSize; ++n) {
      image_.read(n * kBlockSize, block.bytes());
      if (page_status(block.bytes(), kNonce, Pbn{n}) != PageStatus::valid) continue;
      bool empty = true;
      for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
        empty = empty && entry(block.bytes(), slot) == kUnmapped;
      }
      if (empty) leaf = Pbn{n};
    }
    ASSERT_NE(leaf, Pbn{0});
    fill_block({ContentKind::unique, 77}, block.bytes());
    image_.write(leaf.value() * kBlockSize, block.bytes());
    ASSERT_EQ(audit_image(image_), std::nullopt);
  }

  static constexpr std::uint64_t kNonce = 0x5EED;

  /// Opens `image`, does something with it and stops it; afterwards image_ is what is there.
  template <typename Function>
  std::string use(VolumeSubject& subject, SparseImage image, Function work) {
    SimExecutor executor({.seed = 3});
    SimDevice disk(executor, std::move(image));
    if (is_recorded_) disk.start_recording();
    std::string failure;
    const auto outcome = executor.run(run(executor, disk, subject, work, failure));
    if (!outcome) return outcome.why;
    if (is_recorded_) recording_ = disk.recording();
    image_ = disk.durable();
    return failure.empty() ? audit_image(disk.content()).value_or("") : failure;
  }

  template <typename Function>
  static Task<void> run(SimExecutor& executor, SimDevice& disk, VolumeSubject& subject,
                        Function& work, std::string& failure) {
    auto opened = co_await subject.open(executor, disk);
    if (!opened) {
      failure = opened.error().message();
      co_return;
    }
    const std::unique_ptr<Instance> instance = *std::move(opened);
    Result<void> done = co_await work(instance->service());
    if (done) done = co_await instance->stop();
    if (!done) failure = done.error().message();
  }
  static Task<Result<void>> write(BlockService& service) {
    Buffer buffer = co_await service.buffers().acquire(kBlockSize);
    fill_block({ContentKind::unique, 1}, buffer.bytes());
    co_return co_await service.write(kBlock * kBlockSize, std::move(buffer), Durability::fua);
  }
  static Task<Result<void>> write_and_discard(BlockService& service) {
    auto done = co_await write(service);
    if (done) {
      done = co_await service.discard(kBlock * kBlockSize, kBlockSize, Durability::cached);
    }
    co_return done;
  }
  static Task<Result<void>> nothing(BlockService&) { co_return Result<void>(); }

  /// Writes to the leaf, and cuts the power at each moment. What is wrong then; empty if nothing
  /// is.
  std::string cut_everywhere(FaultPoints mistake) {
    VolumeSubject careless(kShape, mistake);
    is_recorded_ = true;
    const std::string failure =
        use(careless, image_, [](BlockService& service) { return write(service); });
    is_recorded_ = false;
    if (!failure.empty()) return failure;
    VolumeSubject subject(kShape);
    SimRandom random(1);
    CrashPoints points(recording_);
    std::uint64_t images = 0;
    do {
      for (SparseImage& left : points.states({.exhaustive_up_to = 3, .samples = 4}, random)) {
        ++images;
        const std::string wrong =
            use(subject, std::move(left), [](BlockService& service) { return nothing(service); });
        if (!wrong.empty()) return wrong;
      }
    } while (points.next());
    EXPECT_GT(images, 50U);
    return {};
  }

  SparseImage image_{0};
  SimRecording recording_{SparseImage(0), {}};
  bool is_recorded_ = false;
};

TEST_F(NewPage, ThatIsTornShowsNothingOfWhatWasThereBefore) {
  EXPECT_EQ(cut_everywhere(FaultPoints()), "");
}

TEST_F(NewPage, InOneStepIsNoticed) {
  if (!FaultPoints::kPossible) GTEST_SKIP() << "no mistakes can be made in this build";
  EXPECT_NE(cut_everywhere(FaultPoints(Fault::new_page_in_one_step)), "");
}

}  // namespace
}  // namespace uvdo::sim
