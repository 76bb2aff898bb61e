// SPDX-License-Identifier: GPL-2.0-or-later
// A rebuild in which read 1, 2, 3, ... fails, alone or with all that follow. It succeeds and says
// what it has given up, or it ends in an error and can be begun anew, or the volume is read-only;
// blocks hold what was flushed, or nothing where something was given up.
#include <algorithm>
#include <memory>
#include <string>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "content.h"
#include "history.h"
#include "index/bounded_memory_index.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

constexpr VolumeShape kShape{9, 4, 16, 16, 20'000};
constexpr std::uint64_t kFar = 911;  // from block to block: many leaves
constexpr std::uint32_t kBlocks = 20;

ContentId content_of(std::uint32_t block) {
  return {block % 3 == 0 ? ContentKind::very_compressible : ContentKind::unique, block};
}

class RebuildFailure : public testing::TestWithParam<std::uint64_t> {
 protected:
  /// What a power cut has left of a volume, marked for a rebuild; the map is partly in the journal.
  void SetUp() override {
    VolumeSubject subject(kShape);
    Result<SparseImage> blank = format_image(subject);
    ASSERT_TRUE(blank);
    image_ = *std::move(blank);
    ASSERT_EQ(use([this](SimExecutor& executor, SimDevice& disk) { return fill(executor, disk); }),
              "");
    ASSERT_EQ(use(mark), "");
  }

  /// Runs `work` on a disk with image_; afterwards image_ is what is on the disk.
  template <typename Function>
  std::string use(Function work, const SimFault* fault = nullptr) {
    SimExecutor executor({.seed = 5});
    SimDevice disk(executor, image_);
    if (fault != nullptr) disk.add_fault(*fault);
    wrong_.clear();
    const auto outcome = executor.run(work(executor, disk));
    image_ = disk.durable();
    return outcome ? wrong_ : outcome.why;
  }
  Task<Result<std::unique_ptr<Volume>>> open(SimExecutor& executor, SimDevice& disk) {
    log_.clear();
    VolumeOptions options;
    options.buffer_bytes = 1U << 20U;
    options.block_map_cache_pages = 16;
    options.replay_batch = 8;
    IndexFactory make_index = [](Executor&, Device&, const VolumeGeometry&, bool) {
      return std::make_unique<BoundedMemoryIndex>(100);
    };
    co_return co_await Volume::open(executor, disk, options, std::move(make_index),
                                    [this](const LogLine& line) { log_ += line.text + "\n"; });
  }
  Task<void> fill(SimExecutor& executor, SimDevice& disk) {
    // The first half is on the disk, the second in the journal.
    for (const std::uint32_t first : {0U, kBlocks / 2}) {
      auto opened = co_await open(executor, disk);
      check(opened.ok(), "a small volume opens");
      const std::unique_ptr<Volume> volume = *std::move(opened);
      for (std::uint32_t i = first; i < first + kBlocks / 2; ++i) {
        Buffer buffer = co_await volume->buffers().acquire(kBlockSize);
        fill_block(content_of(i), buffer.bytes());
        const auto done =
            co_await volume->write(i * kFar * kBlockSize, std::move(buffer), Durability::cached);
        if (!done) wrong_ = done.error().message();
      }
      const auto flushed = co_await volume->flush();
      if (!flushed) wrong_ = flushed.error().message();
      if (first != 0) disk.crash(SimCrashStyle::drop_all);
      [[maybe_unused]] const auto stopped = co_await volume->stop();
    }
    disk.restart();
  }
  /// Marks the volume for a rebuild.
  static Task<void> mark(SimExecutor& executor, SimDevice& disk) {
    VolumeSubject subject(kShape);
    const auto done = co_await subject.repair(executor, disk);
    check(done.ok(), "a volume is marked for a rebuild");
  }

  struct Outcome {
    bool faulted = false;  // a read has failed
    bool failed = false;   // no volume that can be written to
    std::uint32_t lost = 0;
  };
  /// Opens it, which rebuilds it, on a disk that may fail meanwhile, and looks at all blocks.
  Task<void> rebuild(SimExecutor& executor, SimDevice& disk, Outcome& outcome) {
    auto opened = co_await open(executor, disk);
    outcome.faulted = disk.has_faulted();
    disk.clear_faults();
    outcome.failed = !opened || (*opened)->is_read_only();
    if (outcome.failed && !outcome.faulted) wrong_ = "it failed without a reason";
    if (!opened) {
      if (opened.error().message().empty()) wrong_ = "an error without words";
      co_return;
    }
    const std::unique_ptr<Volume> volume = *std::move(opened);
    AlignedMemory found(kBlockSize);
    AlignedMemory expected(kBlockSize);
    for (std::uint32_t i = 0; i < kBlocks; ++i) {
      const auto read = co_await volume->read(i * kFar * kBlockSize, found.bytes());
      if (!read && outcome.failed) continue;
      if (!read) wrong_ = read.error().message();
      fill_block(content_of(i), expected.bytes());
      if (std::ranges::equal(found.bytes(), expected.bytes())) continue;
      ++outcome.lost;
      if (!Value(ConstBytes(found.bytes())).is_zero()) wrong_ = fmt::format("block {} is wrong", i);
    }
    const auto stopped = co_await volume->stop();
    if (outcome.failed || !wrong_.empty()) co_return;
    if (!stopped) wrong_ = stopped.error().message();
    if (stopped) wrong_ = audit_image(disk.content()).value_or("");
  }

  SparseImage image_{0};
  std::string wrong_;
  std::string log_;
};

TEST_P(RebuildFailure, OfAnyReadIsToldAndLeavesNothingWrong) {
  const SparseImage marked = image_;
  std::uint64_t failures = 0;
  std::uint64_t losses = 0;
  std::uint64_t skip = 0;
  for (Outcome outcome{.faulted = true}; outcome.faulted; ++skip) {
    image_ = marked;
    SimFault fault;
    fault.writes = fault.flushes = false;
    fault.skip = skip;
    fault.count = GetParam();
    outcome = {};
    const auto work = [&](SimExecutor& executor, SimDevice& disk) {
      return rebuild(executor, disk, outcome);
    };
    ASSERT_EQ(use(work, &fault), "") << "when read " << skip << " fails\n" << log_;
    if (!outcome.failed) {
      const bool is_told = log_.find(" 0 things given up") == std::string::npos;
      ASSERT_TRUE(outcome.lost == 0 || is_told) << "when read " << skip << " fails\n" << log_;
      if (outcome.lost > 0) ++losses;
      continue;
    }
    ++failures;
    // On a sound disk it is begun anew; what the first one has given up stays lost.
    ASSERT_EQ(use(mark), "");
    Outcome again;
    const auto retry = [&](SimExecutor& executor, SimDevice& disk) {
      return rebuild(executor, disk, again);
    };
    ASSERT_EQ(use(retry), "") << "after read " << skip << " had failed\n" << log_;
    ASSERT_FALSE(again.failed) << "after read " << skip << " had failed\n" << log_;
  }
  EXPECT_GT(skip, 20U);
  EXPECT_GT(failures, 0U);
  // With all later reads failing as well none succeeds.
  EXPECT_EQ(losses > 0, GetParam() == 1);
}

INSTANTIATE_TEST_SUITE_P(All, RebuildFailure, testing::Values(1, UINT64_MAX), [](const auto& test) {
  return std::string(test.param == 1 ? "OneRead" : "AllReads");
});

}  // namespace
}  // namespace uvdo::sim
