// SPDX-License-Identifier: GPL-2.0-or-later
// Each request of the disk fails once, one after the other: alone, or with all that follow. Every
// history ends in success, in an error that says why, or in read-only mode; a rebuild then brings
// back all that was flushed.
#include <string>

#include <gtest/gtest.h>

#include "history.h"
#include "volume_subject.h"

namespace uvdo::sim {
namespace {

constexpr VolumeShape kShape{9, 4, 16, 16, 20'000};

struct Kind {
  std::string name;
  bool reads = true;
  bool writes = true;
  bool flushes = true;
  std::uint64_t count = 1;  ///< of failing requests
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class NthFailure : public testing::TestWithParam<Kind> {
 protected:
  [[nodiscard]] SimFault fault(std::uint64_t skip) const {
    SimFault fault;
    fault.reads = GetParam().reads;
    fault.writes = GetParam().writes;
    fault.flushes = GetParam().flushes;
    fault.count = GetParam().count;
    fault.skip = skip;
    return fault;
  }

  /// Histories of `starts` starts, the last of which meets the fault, until none is left to fail.
  void run(std::uint32_t starts, std::uint64_t seed, std::uint64_t at_least) {
    VolumeSubject subject(kShape);
    const Result<SparseImage> blank = format_image(subject);
    ASSERT_TRUE(blank);
    Profile profile;
    profile.blocks = 4000;
    profile.cycles = starts;
    profile.operations = 30;
    profile.clients = 4;
    profile.hot_percent = 60;
    profile.mix.flush = 12;
    for (std::uint64_t skip = 0;; ++skip) {
      subject.choose(seed);
      HistoryOptions options;
      options.seed = seed;
      options.fault = fault(skip);
      const HistoryResult result = run_history(subject, *blank, profile, options);
      ASSERT_EQ(result.failure, "") << "when request " << skip << " fails";
      if (result.faults > 0) continue;
      EXPECT_GT(skip, at_least);
      return;
    }
  }
};

TEST_P(NthFailure, OfAFormatIsToldAndLeavesNothingHalf) {
  VolumeSubject subject(kShape);
  for (std::uint64_t skip = 0;; ++skip) {
    SimExecutor executor({.seed = 1});
    SimDevice device(executor, subject.device_size(), {.can_zero = false});
    device.add_fault(fault(skip));
    std::string failure;
    const auto outcome = executor.run([](VolumeSubject& on, SimExecutor& with, SimDevice& disk,
                                         std::string& wrong) -> Task<void> {
      const Result<void> formatted = co_await on.format(with, disk);
      if (formatted.ok() == disk.has_faulted()) {
        wrong = formatted ? "the failure was not told" : formatted.error().message();
      }
      if (formatted) co_return;
      if (formatted.error().message().empty()) wrong = "an error without words";
      disk.clear_faults();
      auto opened = co_await on.open(with, disk);
      if (opened) {  // a request that failed may have been carried out, the last one too
        const Result<void> stopped = co_await (*opened)->stop();
        if (!stopped) wrong = stopped.error().message();
        if (const auto half = audit_image(disk.content())) wrong = *half;
      }
      // Another try repairs all.
      const Result<void> again = co_await on.format(with, disk);
      if (!again) wrong = again.error().message();
      auto reopened = co_await on.open(with, disk);
      if (!reopened) {
        wrong = reopened.error().message();
        co_return;
      }
      const Result<void> stopped = co_await (*reopened)->stop();
      if (!stopped) wrong = stopped.error().message();
    }(subject, executor, device, failure));
    ASSERT_TRUE(outcome.finished) << outcome.why;
    ASSERT_EQ(failure, "") << "when request " << skip << " fails";
    if (!device.has_faulted()) return;
  }
}

TEST_P(NthFailure, OfAFormatOnADeviceThatZeroesIsToldOrMadeGood) {
  VolumeSubject subject(kShape);
  for (std::uint64_t skip = 0;; ++skip) {
    SimExecutor executor({.seed = 1});
    SimDevice device(executor, subject.device_size());
    device.add_fault(fault(skip));
    std::string failure;
    const auto outcome = executor.run([](VolumeSubject& on, SimExecutor& with, SimDevice& disk,
                                         std::string& wrong) -> Task<void> {
      const Result<void> formatted = co_await on.format(with, disk);
      if (!formatted) {
        if (!disk.has_faulted()) wrong = formatted.error().message();
        co_return;
      }
      disk.clear_faults();
      auto opened = co_await on.open(with, disk);
      if (!opened) {
        wrong = opened.error().message();
        co_return;
      }
      const Result<void> stopped = co_await (*opened)->stop();
      if (!stopped) wrong = stopped.error().message();
      if (const auto half = audit_image(disk.content())) wrong = *half;
    }(subject, executor, device, failure));
    ASSERT_TRUE(outcome.finished) << outcome.why;
    ASSERT_EQ(failure, "") << "when request " << skip << " fails";
    if (!device.has_faulted()) return;
  }
}

// Opening a new volume, writing, flushing, saving.
TEST_P(NthFailure, OfANewVolumeLosesNothing) { run(1, 3, GetParam().reads ? 10 : 3); }
// Recovering, with all that follows.
TEST_P(NthFailure, OfARecoveredVolumeLosesNothing) { run(2, 4, GetParam().reads ? 10 : 3); }

INSTANTIATE_TEST_SUITE_P(All, NthFailure,
                         testing::Values(Kind{"OneRequest", true, true, true, 1},
                                         Kind{"AllRequests", true, true, true, UINT64_MAX},
                                         Kind{"AllWrites", false, true, true, UINT64_MAX},
                                         Kind{"AllFlushes", false, false, true, UINT64_MAX}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace uvdo::sim
