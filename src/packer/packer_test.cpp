// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/packer.h"

#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

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
      : device(std::move(*MemoryDevice::create(1U << 20U))),
        writer(executor, *device, 0),
        packer(executor, writer, allocator),
        tasks(executor) {}
  void give(std::size_t size) {
    results.emplace_back();
    tasks.start([](Bench& bench, std::size_t index, std::size_t bytes) -> Task<void> {
      const std::vector<std::byte> data(bytes, static_cast<std::byte>(index));
      Packer::Fragment fragment(bench.packer, data);
      auto where = co_await fragment;
      bench.results[index] = where ? *where : std::nullopt;
      ++bench.ended;
    }(*this, results.size() - 1, size));
  }
  std::unique_ptr<MemoryDevice> device;
  CountingAllocator allocator;
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

TEST(Packer, TheFullestBinThatFitsIsChosen) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    bench.give(3000);
    bench.give(2000);  // does not fit to the first
    bench.give(1000);  // fits to both: the fuller one
    bench.packer.flush();
    co_await bench.packer.drain();
    co_await bench.tasks.wait();
    EXPECT_EQ(bench.results[0]->pbn, bench.results[2]->pbn);
    EXPECT_EQ(bench.results[1], std::nullopt);
  });
}

TEST(Packer, WhoIsHurriedLeavesAndTheOthersStayWhole) {
  simulate([](SimExecutor& ex) -> Task<void> {
    Bench bench(ex);
    bench.give(500);
    const std::vector<std::byte> data(700, std::byte{77});
    bool plain = false;
    Packer::Fragment* hurried = nullptr;
    bench.tasks.start([](Packer& packer, const std::vector<std::byte>& bytes, bool& got_nothing,
                         Packer::Fragment*& address) -> Task<void> {
      Packer::Fragment fragment(packer, bytes);
      address = &fragment;
      auto where = co_await fragment;
      got_nothing = where.ok() && !where->has_value();
    }(bench.packer, data, plain, hurried));
    bench.give(600);
    hurried->hurry();
    bench.packer.flush();
    co_await bench.packer.drain();
    co_await bench.tasks.wait();
    EXPECT_TRUE(plain);
    EXPECT_EQ(bench.allocator.bins, std::vector<std::uint32_t>{2});
    const ConstBytes block = bench.device->bytes().subspan(kBlockSize, kBlockSize);
    EXPECT_EQ(fragment_of(block, 1)->size(), 600U);
    EXPECT_EQ(fragment_of(block, 1)->front(), std::byte{1});
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
