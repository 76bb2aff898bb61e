// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/packer.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

constexpr std::size_t kMostWaiting = 768;

class CountingAllocator final : public BinAllocator {
 public:
  Pbn allocate_bin(std::uint32_t members) override {
    bins.push_back(members);
    return Pbn{bins.size()};
  }
  std::vector<std::uint32_t> bins;
};

/// A packer on a small device in memory, and the fates of the fragments given to it.
struct Bench {
  explicit Bench(SimExecutor& executor)
      : device(std::move(*MemoryDevice::create(16U << 20U))),
        writer(executor, PbnDevice(*device, 0)),
        packer(executor, writer, allocator, epochs, kMostWaiting),
        tasks(executor) {}
  void give(std::size_t size, bool is_urgent = false) {
    results.emplace_back();
    tasks.start([](Bench& bench, std::size_t index, std::size_t bytes, bool urgent) -> Task<void> {
      const std::vector<std::byte> data(bytes, static_cast<std::byte>(index));
      Packer::Fragment fragment(bench.packer, data, urgent);
      auto where = co_await fragment;
      bench.results[index] = where ? *where : std::nullopt;
      ++bench.ended;
    }(*this, results.size() - 1, size, is_urgent));
  }
  std::unique_ptr<MemoryDevice> device;
  CountingAllocator allocator;
  ReadEpochs epochs;
  DataWriter writer;
  Packer packer;
  TaskGroup tasks;
  std::vector<std::optional<BlockMapping>> results;
  std::size_t ended = 0;
};

template <class Body>
void simulate(Body body) {
  SimExecutor executor({.seed = 11});
  const auto outcome = executor.run(body(executor));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(Packer, FourteenSmallFragmentsMakeOneBlock) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    for (int i = 0; i < 14; ++i) bench.give(100);
    bench.packer.flush();
    co_await bench.tasks.wait();
    EXPECT_EQ(bench.allocator.bins, std::vector<std::uint32_t>{14});
    for (unsigned i = 0; i < 14; ++i) {
      EXPECT_EQ(bench.results[i], mapped_to_fragment(Pbn{1}, i));
      const auto fragment = fragment_of(bench.device->bytes().subspan(kBlockSize, kBlockSize), i);
      EXPECT_TRUE(fragment.ok());
      if (fragment) {
        EXPECT_EQ(fragment->size(), 100U);
        EXPECT_EQ(fragment->front(), static_cast<std::byte>(i));
      }
    }
  });
}

TEST(Packer, AFragmentWithoutCompanyIsLeftToBeWrittenPlain) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    bench.give(1000);
    bench.packer.flush();
    co_await bench.tasks.wait();
    EXPECT_TRUE(bench.allocator.bins.empty());
    EXPECT_EQ(bench.results[0], std::nullopt);
  });
}

TEST(Packer, ABinIsFilledWithTheLargestThatFit) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    for (const std::size_t size : {500U, 3000U, 2000U, 600U, 900U, 200U}) bench.give(size);
    bench.packer.flush();
    co_await bench.packer.drain();
    co_await bench.tasks.wait();
    // 3000 + 900, 2000 + 600 + 500 + 200
    EXPECT_EQ(bench.allocator.bins, (std::vector<std::uint32_t>{2, 4}));
    EXPECT_EQ(bench.results[1]->pbn, bench.results[4]->pbn);
    for (const std::size_t other : {0U, 3U, 5U}) {
      EXPECT_EQ(bench.results[other]->pbn, bench.results[2]->pbn);
    }
  });
}

TEST(Packer, WhoIsHurriedGoesAtOnceWithThoseThatFitBest) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    bench.give(1400);
    bench.give(1300);
    bench.give(2700);
    bench.give(2600, true);
    EXPECT_EQ(bench.allocator.bins, std::vector<std::uint32_t>{2});
    co_await bench.packer.drain();
    co_await bench.tasks.wait();
    EXPECT_EQ(bench.results[3], mapped_to_fragment(Pbn{1}, 0));
    EXPECT_EQ(bench.results[0], mapped_to_fragment(Pbn{1}, 1));
  });
}

TEST(Packer, AFewPerCentOfTheSpaceAreLost) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    std::size_t bytes = 0;
    constexpr std::size_t kFragments = 4000;
    for (std::size_t i = 0; i < kFragments; ++i) {
      const std::size_t size = 900 + ex.random() % 1900;
      bytes += size;
      bench.give(size);
      EXPECT_LT(bench.packer.counters().compressed_fragments_in_packer, kMostWaiting);
    }
    bench.packer.flush();
    co_await bench.packer.drain();
    co_await bench.tasks.wait();
    const std::size_t alone = static_cast<std::size_t>(
        std::ranges::count_if(bench.results, [](const auto& result) { return !result; }));
    EXPECT_LT(alone, kFragments / 100);
    const std::size_t blocks = bench.allocator.bins.size() + alone;
    EXPECT_LT(static_cast<double>(blocks), 1.04 * static_cast<double>(bytes) / kFragmentSpace);
  });
}

TEST(Packer, PatienceEndsByItself) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    TaskGroup clock(ex);
    clock.start(bench.packer.run());
    bench.give(900);
    bench.give(900);
    co_await bench.tasks.wait();
    EXPECT_EQ(bench.allocator.bins, std::vector<std::uint32_t>{2});
    bench.packer.stop();
    co_await clock.wait();
  });
}

}  // namespace
}  // namespace uvdo
