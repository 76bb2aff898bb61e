// SPDX-License-Identifier: GPL-2.0-or-later
#include "blockmap/block_map.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kNonce = 7;
constexpr Pbn kRoots{1};
constexpr Pbn kFirstData{128};
constexpr Pbn kJournal{2048};
constexpr std::uint64_t kJournalBlocks = 64;
// Interior pages between a root and a leaf, and the leaf.
constexpr std::uint64_t kPagesOnTheWay = 4;

/// Gives one block after the other to new pages, and journals that they are pages.
class FakeAllocator final : public PageAllocator {
 public:
  explicit FakeAllocator(RecoveryJournal& journal) : journal_(journal) {}

  Task<Result<Pbn>> allocate_page() override {
    if (taken == room) co_return Error(Errc::no_space, "no block is free");
    co_return kFirstData + taken++;
  }
  Task<Result<void>> wait_for_room(Pbn) override { co_return Result<void>(); }
  Result<JournalPoint> commit_page(Pbn parent, unsigned slot, Pbn page) override {
    return journal_.add({JournalOperation::block_map_remapping, parent,
                         static_cast<std::uint16_t>(slot), mapped_to(page), kUnmapped});
  }

  std::uint64_t taken = 0;
  std::uint64_t room = 1000;

 private:
  RecoveryJournal& journal_;
};

SlabLayout one_slab() {
  SlabDepotState depot;
  depot.slab = {.slab_blocks = 1024, .data_blocks = 1000};
  depot.first_block = kFirstData;
  depot.last_block = kFirstData + 1024;
  return SlabLayout(depot);
}

/// A map of 60 trees on an empty device, with the journal that it needs.
struct Bench {
  Bench(SimExecutor& with, std::uint32_t cache_pages)
      : executor(with),
        config{.nonce = kNonce,
               .root_origin = kRoots,
               .slabs = one_slab(),
               .logical_blocks = std::uint64_t{1} << 32U,
               .cache_pages = cache_pages},
        device(std::move(*MemoryDevice::create(4096 * kBlockSize))),
        journal(executor, PbnDevice(*device, 0), notifier,
                {.start = kJournal, .size = kJournalBlocks, .nonce = kNonce}),
        allocator(journal),
        map(executor, PbnDevice(*device, 0), journal, notifier, allocator, config) {}

  /// Says that the entry is `mapping`, in the journal and in the map, as a write does.
  JournalPoint set(MapPage& leaf, unsigned slot, BlockMapping mapping) {
    const JournalPoint point =
        journal.add({JournalOperation::data_remapping, leaf.pbn, static_cast<std::uint16_t>(slot),
                     mapping, leaf.entry(slot)});
    map.set(leaf, slot, mapping, point);
    return point;
  }
  [[nodiscard]] MutableBytes block(Pbn pbn) const {
    return device->bytes().subspan(pbn.value() * kBlockSize, kBlockSize);
  }

  SimExecutor& executor;
  BlockMapConfig config;
  std::unique_ptr<MemoryDevice> device;
  ReadOnlyNotifier notifier;
  RecoveryJournal journal;
  FakeAllocator allocator;
  BlockMap map;
};

template <class Body>
void with_map(std::uint32_t cache_pages, Body body) {
  SimExecutor executor({.seed = 5});
  Bench bench(executor, cache_pages);
  const auto outcome = executor.run(body(bench));
  EXPECT_TRUE(outcome.finished) << outcome.why;
}

TEST(BlockMap, WhatWasNeverWrittenTakesNoPage) {
  with_map(16, [](Bench& bench) -> Task<void> {
    auto leaf = co_await bench.map.leaf(page_number(Lbn{1'000'000}));
    EXPECT_TRUE(leaf.ok() && !*leaf);
    EXPECT_EQ(bench.map.find_entry(Lbn{1'000'000}), nullptr);
    EXPECT_EQ(bench.allocator.taken, 0U);
  });
}

TEST(BlockMap, ANewLeafBringsThePagesOnTheWayToIt) {
  with_map(16, [](Bench& bench) -> Task<void> {
    EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(3, 0))).ok());
    EXPECT_EQ(bench.allocator.taken, kPagesOnTheWay);
    EXPECT_EQ(bench.journal.block_map_blocks(), kPagesOnTheWay);
    // Its neighbour in the same tree hangs on the same pages, another tree has its own.
    EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(3, 1))).ok());
    EXPECT_EQ(bench.allocator.taken, kPagesOnTheWay + 1);
    EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(4, 0))).ok());
    EXPECT_EQ(bench.allocator.taken, 2 * kPagesOnTheWay + 1);
    auto leaf = co_await bench.map.leaf(page_of(3, 1));
    EXPECT_TRUE(leaf.ok() && *leaf && (*leaf)->entry(811) == kUnmapped);
  });
}

TEST(BlockMap, AllWhoWantOneNewLeafAtATimeGetTheSame) {
  with_map(16, [](Bench& bench) -> Task<void> {
    constexpr unsigned kWriters = 10;
    unsigned done = 0;
    TaskGroup writers(bench.executor);
    for (unsigned i = 0; i < kWriters; ++i) {
      writers.start([](BlockMap& map, unsigned& ended) -> Task<void> {
        EXPECT_TRUE((co_await map.ensure_leaf(page_of(0, 0))).ok());
        ++ended;
      }(bench.map, done));
    }
    co_await writers.wait();
    EXPECT_EQ(done, kWriters);
    EXPECT_EQ(bench.allocator.taken, kPagesOnTheWay);
  });
}

TEST(BlockMap, WithoutABlockForAPageThereIsNoLeaf) {
  with_map(16, [](Bench& bench) -> Task<void> {
    bench.allocator.room = kPagesOnTheWay - 1;
    const auto done = co_await bench.map.ensure_leaf(page_of(0, 0));
    EXPECT_EQ(done.error().code(), Errc::no_space);
    EXPECT_FALSE(bench.notifier.is_read_only());
    auto leaf = co_await bench.map.leaf(page_of(0, 0));
    EXPECT_TRUE(leaf.ok() && !*leaf);
    // The pages above it stay, and are used when there is room again.
    bench.allocator.room = kPagesOnTheWay;
    EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(0, 0))).ok());
  });
}

TEST(BlockMap, AnEntryCountsInMemoryAtOnceAndIsWrittenBehindItsJournalEntry) {
  with_map(16, [](Bench& bench) -> Task<void> {
    EXPECT_TRUE((co_await bench.map.ensure_leaf(PageNumber{0})).ok());
    auto leaf = co_await bench.map.leaf(PageNumber{0});
    const Pbn place = (*leaf)->pbn;
    const JournalPoint point = bench.set(**leaf, 5, mapped_to(Pbn{700}));
    EXPECT_EQ(decode_block_mapping(bench.map.find_entry(Lbn{5})), mapped_to(Pbn{700}));
    EXPECT_EQ(entry(bench.block(place), 5), kUnmapped);
    EXPECT_FALSE(bench.journal.is_committed(point));
    EXPECT_TRUE((co_await bench.map.save()).ok());
    EXPECT_TRUE(bench.journal.is_committed(point));
    EXPECT_EQ(page_status(bench.block(place), kNonce, place), PageStatus::valid);
    EXPECT_EQ(entry(bench.block(place), 5), mapped_to(Pbn{700}));
    EXPECT_EQ(bench.map.dirty_pages(), 0U);
  });
}

TEST(BlockMap, AChangedPageKeepsTheJournalBlockOfItsOldestChangeUntilItIsWritten) {
  with_map(16, [](Bench& bench) -> Task<void> {
    constexpr auto kHead = RecoveryJournal::Head::block_map;
    EXPECT_TRUE((co_await bench.map.ensure_leaf(PageNumber{0})).ok());
    EXPECT_TRUE((co_await bench.map.save()).ok());
    auto leaf = co_await bench.map.leaf(PageNumber{0});
    const JournalSequence oldest{bench.set(**leaf, 0, mapped_to(Pbn{700})).sequence};
    // Entries for three blocks, all about this page.
    for (unsigned i = 0; i < 3 * kEntriesPerBlock; ++i) {
      bench.set(**leaf, i % kEntriesPerPage, mapped_to(Pbn{701 + i % 2}));
    }
    EXPECT_EQ(bench.map.oldest_dirty(), oldest);
    EXPECT_TRUE((co_await bench.journal.commit_all()).ok());
    EXPECT_TRUE((co_await bench.journal.reap()).ok());
    EXPECT_EQ(bench.journal.head(kHead), oldest);
    EXPECT_TRUE((co_await bench.map.write_back(oldest + 1, 0)).ok());
    EXPECT_TRUE((co_await bench.journal.reap()).ok());
    EXPECT_GT(bench.journal.head(kHead), oldest);
  });
}

TEST(BlockMap, ALeafThatWasGivenUpIsReadAgainAndAPinnedOneIsNotGivenUp) {
  with_map(2, [](Bench& bench) -> Task<void> {
    for (std::uint64_t i = 0; i < 4; ++i) {
      EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(0, i))).ok());
      auto leaf = co_await bench.map.leaf(page_of(0, i));
      bench.set(**leaf, 1, mapped_to(Pbn{700 + i}));
      EXPECT_TRUE((co_await bench.map.save()).ok());
    }
    const std::uint64_t reads = bench.map.counters().read_count;
    auto pinned = co_await bench.map.leaf(page_of(0, 0));
    for (std::uint64_t i = 1; i < 4; ++i) {
      auto leaf = co_await bench.map.leaf(page_of(0, i));
      EXPECT_EQ((*leaf)->entry(1), mapped_to(Pbn{700 + i}));
    }
    EXPECT_GE(bench.map.counters().read_count, reads + 3);
    EXPECT_EQ(bench.map.cached_pages(), 2U);
    EXPECT_TRUE(bench.map.cached_leaf(page_of(0, 0)));
    EXPECT_EQ((*pinned)->entry(1), mapped_to(Pbn{700}));
  });
}

TEST(BlockMap, TheNextLeafIsFoundWithoutLookingAtWhatIsNotThere) {
  with_map(16, [](Bench& bench) -> Task<void> {
    // In one page of height 1, and in another.
    for (const std::uint64_t index : {5U, 2000U}) {
      EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(0, index))).ok());
    }
    const std::uint64_t interior = bench.map.interior_pages();
    constexpr std::uint64_t kLimit = 1'000'000;
    EXPECT_EQ(*co_await bench.map.next_leaf(0, 0, kLimit), 5U);
    EXPECT_EQ(*co_await bench.map.next_leaf(0, 6, kLimit), 2000U);
    EXPECT_EQ(*co_await bench.map.next_leaf(0, 6, 2000), std::nullopt);
    EXPECT_EQ(*co_await bench.map.next_leaf(0, 2001, kLimit), std::nullopt);
    EXPECT_EQ(bench.map.interior_pages(), interior);
  });
}

TEST(BlockMap, APageOfAnotherPlaceIsAnErrorAndOneOfAnotherVolumeIsEmpty) {
  with_map(16, [](Bench& bench) -> Task<void> {
    // What an interior page leads to lies on the disk as something else has left it.
    for (std::uint64_t index = 0; index < 2; ++index) {
      EXPECT_TRUE((co_await bench.map.ensure_leaf(page_of(0, index))).ok());
    }
    EXPECT_TRUE((co_await bench.map.save()).ok());
    const Pbn first = kFirstData + (kPagesOnTheWay - 1);
    const Pbn second = first + 1;
    format_page(bench.block(first), kNonce + 1, first);
    format_page(bench.block(second), kNonce, second + 1);
    for (const Pbn page : {first, second}) {
      set_initialized(bench.block(page));
      set_entry(bench.block(page), 9, mapped_to(Pbn{700}));
    }
    FakeAllocator allocator(bench.journal);
    BlockMap other(bench.executor, PbnDevice(*bench.device, 0), bench.journal, bench.notifier,
                   allocator, bench.config);
    auto leaf = co_await other.leaf(page_of(0, 0));
    EXPECT_EQ((*leaf)->entry(9), kUnmapped);
    EXPECT_FALSE(bench.notifier.is_read_only());
    leaf = co_await other.leaf(page_of(0, 1));
    EXPECT_EQ(leaf.error().code(), Errc::corrupt);
    EXPECT_TRUE(bench.notifier.is_read_only());
  });
}

TEST(BlockMap, ChangesOfAJournalAreLaidOverWhatIsRead) {
  with_map(16, [](Bench& bench) -> Task<void> {
    EXPECT_TRUE((co_await bench.map.ensure_leaf(PageNumber{0})).ok());
    EXPECT_TRUE((co_await bench.map.save()).ok());
    PageChangeSet changes;
    changes.add({kFirstData + (kPagesOnTheWay - 1), 3, mapped_to(Pbn{800})});
    changes.finish();
    FakeAllocator allocator(bench.journal);
    BlockMap reader(bench.executor, PbnDevice(*bench.device, 0), bench.journal, bench.notifier,
                    allocator, bench.config);
    reader.overlay(changes);
    auto leaf = co_await reader.leaf(PageNumber{0});
    EXPECT_EQ((*leaf)->entry(3), mapped_to(Pbn{800}));
    EXPECT_EQ((*leaf)->entry(4), kUnmapped);
    EXPECT_EQ(reader.dirty_pages(), 0U);
  });
}

}  // namespace
}  // namespace uvdo
