// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/sim_device.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "async/wait_queue.h"
#include "base/block_types.h"
#include "device/crash_states.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = std::uint64_t{64} << 20U;

// A page-aligned block of one byte value. On the heap: frames of coroutines are not so aligned.
class Block {
 public:
  explicit Block(int value = 0) { std::memset(memory_.get(), value, kBlockSize); }
  MutableBytes bytes() { return {memory_.get(), kBlockSize}; }
  std::set<int> values() {
    std::set<int> found;
    for (const std::byte b : bytes()) found.insert(std::to_integer<int>(b));
    return found;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_{
      static_cast<std::byte*>(std::aligned_alloc(kBlockSize, kBlockSize))};
};

struct Bench {
  explicit Bench(std::uint64_t seed, SimDeviceOptions options = {})
      : executor({.seed = seed}), device(executor, kSize, options) {}
  void run(Task<void> task) {
    const SimExecutor::Outcome outcome = executor.run(std::move(task));
    ASSERT_TRUE(outcome) << outcome.why;
  }
  std::set<int> on_disk(std::uint64_t block) {
    Block found;
    device.content().read(block * kBlockSize, found.bytes());
    return found.values();
  }
  SimExecutor executor;
  SimDevice device;
};

Task<void> write_block(SimDevice& device, std::uint64_t block, int value, int* error = nullptr,
                       Durability durability = Durability::cached) {
  Block data(value);
  const Result<void> done = co_await device.write(block * kBlockSize, data.bytes(), durability);
  if (error != nullptr) *error = done ? 0 : 1;
}

Task<void> flush(SimDevice& device, int* error = nullptr) {
  const Result<void> done = co_await device.flush();
  if (error != nullptr) *error = done ? 0 : 1;
}

Task<void> read_block(SimDevice& device, std::uint64_t block, Block& into, int* error = nullptr) {
  const Result<void> done = co_await device.read(block * kBlockSize, into.bytes());
  if (error != nullptr) *error = done ? 0 : 1;
}

TEST(SimDevice, ReadsSeeWritesThatCompleted) {
  Bench bench(1);
  Block found;
  bench.run([](SimDevice& device, Block& into) -> Task<void> {
    co_await write_block(device, 3, 7);
    co_await read_block(device, 3, into);
  }(bench.device, found));
  EXPECT_EQ(found.values(), std::set<int>{7});
}

TEST(SimDevice, FlushedWritesSurviveEveryCrash) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Bench bench(seed);
    bench.run([](SimDevice& device) -> Task<void> {
      co_await write_block(device, 1, 1);
      co_await flush(device);
    }(bench.device));
    bench.device.crash();
    bench.device.restart();
    EXPECT_EQ(bench.on_disk(1), std::set<int>{1}) << "seed " << seed;
  }
}

TEST(SimDevice, WhatHasCompletedOutlivesTheProcessAndNotThePower) {
  std::set<std::set<int>> under_way;
  bool is_lost = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Bench bench(seed, {.instant_one_in = 0});
    bench.run([](SimExecutor& executor, SimDevice& device) -> Task<void> {
      co_await write_block(device, 1, 1);
      TaskGroup group(executor);
      group.start(write_block(device, 2, 2));
      co_await executor.yield();
      device.die();
      co_await group.wait();
    }(bench.executor, bench.device));
    EXPECT_TRUE(bench.device.has_died());
    bench.device.restart();
    EXPECT_EQ(bench.on_disk(1), std::set<int>{1}) << "seed " << seed;
    under_way.insert(bench.on_disk(2));
    bench.device.crash();
    bench.device.restart();
    is_lost = is_lost || bench.on_disk(1) == std::set<int>{0};
  }
  EXPECT_EQ(under_way, (std::set<std::set<int>>{{0}, {2}})) << "wholly or not at all";
  EXPECT_TRUE(is_lost) << "nobody has flushed it";
}

TEST(SimDevice, FuaWritesSurviveAndOlderOnesDoNotWinOverThem) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Bench bench(seed);
    bench.run([](SimDevice& device) -> Task<void> {
      co_await write_block(device, 1, 1);
      co_await write_block(device, 1, 2, nullptr, Durability::fua);
    }(bench.device));
    bench.device.crash();
    bench.device.restart();
    EXPECT_EQ(bench.on_disk(1), std::set<int>{2}) << "seed " << seed;
  }
}

TEST(SimDevice, UnflushedWritesSurviveOrNotAndCanBeTorn) {
  std::set<std::set<int>> found;
  bool newer_without_older = false;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    Bench bench(seed);
    bench.run([](SimDevice& device) -> Task<void> {
      co_await write_block(device, 1, 1);
      co_await write_block(device, 1, 2);
      co_await write_block(device, 9, 3);
    }(bench.device));
    bench.device.crash();
    bench.device.restart();
    found.insert(bench.on_disk(1));
    if (bench.on_disk(1) == std::set<int>{0} && bench.on_disk(9) == std::set<int>{3}) {
      newer_without_older = true;
    }
  }
  EXPECT_TRUE(newer_without_older);
  const std::set<std::set<int>> expected{{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}};
  EXPECT_EQ(found, expected);
}

TEST(SimDevice, TearsOnlyBetweenSectors) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Bench bench(seed);
    bench.run(
        [](SimDevice& device) -> Task<void> { co_await write_block(device, 1, 5); }(bench.device));
    bench.device.crash(SimCrashStyle::torn_random);
    bench.device.restart();
    Block found;
    bench.device.content().read(kBlockSize, found.bytes());
    for (std::size_t i = 0; i < kBlockSize; ++i) {
      ASSERT_EQ(found.bytes()[i], found.bytes()[i / kSectorSize * kSectorSize]);
    }
  }
}

TEST(SimDevice, AFlushDoesNotCoverWritesThatCompleteAfterIt) {
  bool lost = false;
  for (std::uint64_t seed = 0; seed < 100 && !lost; ++seed) {
    Bench bench(seed, {.instant_one_in = 0});
    bench.run([](SimExecutor& executor, SimDevice& device) -> Task<void> {
      TaskGroup group(executor);
      group.start(write_block(device, 1, 1));
      group.start(flush(device));
      co_await group.wait();
    }(bench.executor, bench.device));
    bench.device.crash(SimCrashStyle::drop_all);
    bench.device.restart();
    lost = bench.on_disk(1) == std::set<int>{0};
  }
  EXPECT_TRUE(lost);
}

TEST(SimDevice, ACrashFailsWhatIsUnderWayAndAllThatFollows) {
  Bench bench(1, {.instant_one_in = 0});
  int under_way = 0;
  int later = 0;
  bench.run([](SimExecutor& executor, SimDevice& device, int& a, int& b) -> Task<void> {
    TaskGroup group(executor);
    group.start(write_block(device, 1, 1, &a));
    device.crash();
    co_await write_block(device, 2, 1, &b);
    co_await group.wait();
  }(bench.executor, bench.device, under_way, later));
  EXPECT_EQ(under_way, 1);
  EXPECT_EQ(later, 1);
  bench.device.restart();
  int after = 1;
  bench.run(write_block(bench.device, 2, 1, &after));
  EXPECT_EQ(after, 0);
}

TEST(SimDevice, CutsThePowerAtTheRequestThatIsAskedFor) {
  Bench bench(1);
  bool told = false;
  bench.device.set_on_crash([&] { told = true; });
  bench.device.crash_after(2);
  std::array<int, 3> errors{};
  bench.run([](SimDevice& device, std::array<int, 3>& out) -> Task<void> {
    for (std::size_t i = 0; i < 3; ++i) co_await write_block(device, i, 1, &out[i]);
  }(bench.device, errors));
  EXPECT_EQ(errors, (std::array<int, 3>{0, 0, 1}));
  EXPECT_TRUE(told);
}

TEST(SimDevice, FailsTheRequestsOfAFaultPlan) {
  Bench bench(1);
  bench.device.add_fault(
      {.reads = false, .flushes = false, .begin = 0, .end = 5 * kBlockSize, .skip = 1, .count = 2});
  std::array<int, 6> errors{};
  bench.run([](SimDevice& device, std::array<int, 6>& out) -> Task<void> {
    co_await write_block(device, 9, 1, &out[0]);  // elsewhere: not counted
    for (std::size_t i = 1; i < 5; ++i) co_await write_block(device, i, 1, &out[i]);
    Block block;
    co_await read_block(device, 1, block, &out[5]);
  }(bench.device, errors));
  EXPECT_EQ(errors, (std::array<int, 6>{0, 0, 1, 1, 0, 0}));
  EXPECT_TRUE(bench.device.has_faulted());
}

TEST(SimDevice, AFailedReadLeavesNothingUsable) {
  Bench bench(1);
  bench.device.add_fault({});
  Block block(1);
  int error = 0;
  bench.run(read_block(bench.device, 1, block, &error));
  EXPECT_EQ(error, 1);
  EXPECT_EQ(block.values(), std::set<int>{0xEE});
}

TEST(SimDevice, AfterAFailedFlushALaterOneDoesNotBringLostWritesBack) {
  std::set<std::set<int>> found;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Bench bench(seed);
    bench.device.add_fault({.reads = false, .writes = false, .count = 1});
    std::array<int, 2> errors{};
    bench.run([](SimDevice& device, std::array<int, 2>& out) -> Task<void> {
      co_await write_block(device, 1, 1);
      co_await flush(device, &out[0]);
      co_await flush(device, &out[1]);
    }(bench.device, errors));
    EXPECT_EQ(errors, (std::array<int, 2>{1, 0}));
    bench.device.crash(SimCrashStyle::drop_all);
    bench.device.restart();
    found.insert(bench.on_disk(1));
  }
  EXPECT_EQ(found, (std::set<std::set<int>>{{0}, {1}}));
}

TEST(SimDevice, HungRequestsAnswerWhenReleased) {
  Bench bench(1);
  bench.device.add_fault({.kind = SimFault::Kind::hang, .count = 1});
  int error = 0;
  bench.run([](SimExecutor& executor, SimDevice& device, int& out) -> Task<void> {
    TaskGroup group(executor);
    group.start(write_block(device, 1, 1, &out));
    Alarm alarm(executor);
    co_await alarm.sleep(std::chrono::seconds(60));
    check(group.running() == 1, "a hung request has answered");
    device.release_hung(ETIMEDOUT);
    co_await group.wait();
  }(bench.executor, bench.device, error));
  EXPECT_EQ(error, 1);
}

TEST(SimDevice, NoticesABufferThatChangesUnderAWrite) {
  Bench bench(1, {.instant_one_in = 0});
  bench.run([](SimExecutor& executor, SimDevice& device) -> Task<void> {
    Block data(1);
    TaskGroup group(executor);
    group.start([](SimDevice& to, Block& block) -> Task<void> {
      const Result<void> done = co_await to.write(0, block.bytes());
      check(done.ok(), "the write failed");
    }(device, data));
    data.bytes()[100] = std::byte{2};
    co_await group.wait();
  }(bench.executor, bench.device));
  EXPECT_NE(bench.device.misuse().find("changed while"), std::string::npos);
}

TEST(SimDevice, NoticesOverlappingWritesAndMisalignedRequests) {
  Bench overlapping(1, {.instant_one_in = 0});
  overlapping.run([](SimExecutor& executor, SimDevice& device) -> Task<void> {
    TaskGroup group(executor);
    group.start(write_block(device, 1, 1));
    group.start(write_block(device, 1, 2));
    co_await group.wait();
  }(overlapping.executor, overlapping.device));
  EXPECT_NE(overlapping.device.misuse().find("at the same time"), std::string::npos);

  Bench misaligned(1);
  int error = 0;
  misaligned.run([](SimDevice& device, int& out) -> Task<void> {
    Block data(1);
    const Result<void> done = co_await device.write(512, data.bytes());
    out = done ? 0 : 1;
  }(misaligned.device, error));
  EXPECT_EQ(error, 1);
  EXPECT_NE(misaligned.device.misuse().find("not multiples"), std::string::npos);
}

TEST(SimDevice, ZeroedBlocksReadAsZerosAndEachOfThemSurvivesOrNot) {
  std::set<std::pair<int, int>> found;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Bench bench(seed);
    bench.run([](SimDevice& device) -> Task<void> {
      co_await write_block(device, 1, 1);
      co_await write_block(device, 2, 2);
      co_await flush(device);
      const auto done = co_await device.write_zeroes(kBlockSize, 2 * kBlockSize);
      EXPECT_TRUE(done.ok());
    }(bench.device));
    EXPECT_EQ(bench.on_disk(1), std::set<int>{0});
    EXPECT_EQ(bench.on_disk(2), std::set<int>{0});
    bench.device.crash(SimCrashStyle::subset);
    bench.device.restart();
    found.emplace(*bench.on_disk(1).begin(), *bench.on_disk(2).begin());
  }
  EXPECT_EQ(found, (std::set<std::pair<int, int>>{{0, 0}, {1, 0}, {0, 2}, {1, 2}}));
}

TEST(SimDevice, DiscardedBlocksReadAsAnythingAndOthersStayAsTheyAre) {
  std::set<int> found;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Bench bench(seed);
    bench.run([](SimDevice& device, int first) -> Task<void> {
      for (std::uint64_t block = 0; block < 9; ++block) co_await write_block(device, block, 7);
      for (int i = 0; i < first; ++i) co_await flush(device);  // so that requests differ
      const auto done = co_await device.discard(kBlockSize, 4 * kBlockSize);
      EXPECT_TRUE(done.ok());
    }(bench.device, static_cast<int>(seed % 5)));
    for (std::uint64_t block = 1; block < 5; ++block) found.merge(bench.on_disk(block));
    EXPECT_EQ(bench.on_disk(0), std::set<int>{7});
    EXPECT_EQ(bench.on_disk(5), std::set<int>{7});
  }
  EXPECT_EQ(found, (std::set<int>{0, 7, 0xD5}));
}

TEST(SimDevice, ThatCannotZeroSaysSoAndChangesNothing) {
  Bench bench(1, {.can_zero = false});
  bench.run([](SimDevice& device) -> Task<void> {
    co_await write_block(device, 1, 1);
    const auto zeroed = co_await device.write_zeroes(kBlockSize, kBlockSize);
    EXPECT_EQ(zeroed.error().code(), Errc::unsupported);
    const auto discarded = co_await device.discard(kBlockSize, kBlockSize);
    EXPECT_EQ(discarded.error().code(), Errc::unsupported);
  }(bench.device));
  EXPECT_EQ(bench.on_disk(1), std::set<int>{1});
}

// What blocks 1 and 2 hold in each of the possible images, as pairs of one byte of each.
std::set<std::pair<int, int>> pairs(const std::vector<SparseImage>& images) {
  std::set<std::pair<int, int>> found;
  for (const SparseImage& image : images) {
    std::byte a{};
    std::byte b{};
    image.read(1 * kBlockSize, {&a, 1});
    image.read(2 * kBlockSize, {&b, 1});
    found.emplace(std::to_integer<int>(a), std::to_integer<int>(b));
  }
  return found;
}

TEST(CrashStates, AreAllSubsetsOfWhatNoFlushCovers) {
  Bench bench(1, {.slow_one_in = 0, .instant_one_in = 0});
  bench.device.start_recording();
  std::vector<std::size_t> marks;
  bench.run([](SimDevice& device, std::vector<std::size_t>& at) -> Task<void> {
    co_await write_block(device, 1, 1);
    co_await write_block(device, 2, 2);
    at.push_back(device.recorded_events());
    co_await flush(device);
    at.push_back(device.recorded_events());
    co_await write_block(device, 1, 3);
    co_await write_block(device, 2, 4, nullptr, Durability::fua);
    at.push_back(device.recorded_events());
  }(bench.device, marks));
  SimRandom random(1);
  const CrashStateOptions whole{.torn_samples = 0};
  const auto at = [&](std::size_t mark) {
    return pairs(crash_states(bench.device.recording(), marks[mark], whole, random));
  };
  EXPECT_EQ(at(0), (std::set<std::pair<int, int>>{{0, 0}, {1, 0}, {0, 2}, {1, 2}}));
  EXPECT_EQ(at(1), (std::set<std::pair<int, int>>{{1, 2}}));
  EXPECT_EQ(at(2), (std::set<std::pair<int, int>>{{1, 4}, {3, 4}}));
}

TEST(CrashStates, HaveEachBlockOfAZeroingByItself) {
  Bench bench(1, {.slow_one_in = 0, .instant_one_in = 0});
  bench.device.start_recording();
  std::size_t mark = 0;
  bench.run([](SimDevice& device, std::size_t& at) -> Task<void> {
    co_await write_block(device, 1, 1);
    co_await write_block(device, 2, 2);
    co_await flush(device);
    const auto done = co_await device.write_zeroes(kBlockSize, 2 * kBlockSize);
    EXPECT_TRUE(done.ok());
    at = device.recorded_events();
    co_await flush(device);
  }(bench.device, mark));
  SimRandom random(1);
  const CrashStateOptions whole{.torn_samples = 0};
  EXPECT_EQ(pairs(crash_states(bench.device.recording(), mark, whole, random)),
            (std::set<std::pair<int, int>>{{0, 0}, {1, 0}, {0, 2}, {1, 2}}));
  EXPECT_EQ(
      pairs(crash_states(bench.device.recording(), bench.device.recorded_events(), whole, random)),
      (std::set<std::pair<int, int>>{{0, 0}}));
}

TEST(CrashStates, CountEachImageOnceAndTearSome) {
  Bench bench(1);
  bench.device.start_recording();
  bench.run([](SimDevice& device) -> Task<void> {
    for (std::uint64_t i = 0; i < 8; ++i) co_await write_block(device, i, static_cast<int>(i) + 1);
    co_await write_block(device, 0, 1);  // the same again: adds no new image
  }(bench.device));
  SimRandom random(1);
  const std::size_t end = bench.device.recorded_events();
  const auto whole = crash_states(bench.device.recording(), end,
                                  {.exhaustive_up_to = 9, .torn_samples = 0}, random);
  EXPECT_EQ(whole.size(), 256U);
  const auto torn = crash_states(bench.device.recording(), end,
                                 {.exhaustive_up_to = 9, .torn_samples = 30}, random);
  EXPECT_GT(torn.size(), 256U);
}

}  // namespace
}  // namespace uvdo
