// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab_depot.h"

#include <optional>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/sim_device.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

constexpr unsigned kSlabBits = 9;
constexpr std::uint64_t kSlabs = 3;
/// Blocks that a growth takes: its journal and summary move behind them.
constexpr std::uint64_t kGrowth = 40'000;

VolumeLayout make_layout() {
  FormatRequest request;
  request.slab_bits = kSlabBits;
  request.small_slabs = true;
  request.nonce = 77;
  request.logical_bytes = std::uint64_t{1000} * kBlockSize;
  const auto least = minimum_physical_blocks(kSlabBits, request.index_memory, request.sparse);
  request.device_bytes = (*least + ((kSlabs - 1) << kSlabBits)) * kBlockSize;
  return *make_volume_layout(request);
}

/// A depot on a disk that keeps what it has for the next one.
class SlabDepotTest : public ::testing::Test {
 protected:
  SlabDepotTest()
      : super_(layout_.super_block),
        disk_(executor_, (super_.config.physical_blocks + kGrowth) * kBlockSize) {
    start();
  }
  ~SlabDepotTest() override { EXPECT_EQ(disk_.misuse(), ""); }

  /// As after a start: what was in memory is gone, and the journal goes on behind its old end.
  void start() {
    const JournalSequence tail = journal_ ? journal_->tail() + 1 : JournalSequence{1};
    depot_.reset();
    journal_.reset();
    const Partition ring = super_.find(PartitionId::recovery_journal);
    journal_.emplace(
        executor_, PbnDevice(disk_, 0), notifier_,
        RecoveryJournalConfig{.start = ring.start, .size = ring.blocks, .nonce = 77, .tail = tail});
    depot_.emplace(executor_, PbnDevice(disk_, 0), super_, *journal_, notifier_,
                   DepotPools{.journal_blocks = 8, .frees = 64, .blocks_at_once = 16});
  }
  template <class Body>
  void run(Body body) {
    const auto outcome = executor_.run(body());
    EXPECT_TRUE(outcome.finished) << outcome.why;
    depot_->check_invariants();
    journal_->check_invariants();
  }
  static void expect_ok(const Result<void>& done) {
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
  }
  /// A change of a count with its entry in the recovery journal.
  JournalPoint change(Pbn pbn, ReferenceOperation operation) {
    const bool is_increment = operation == ReferenceOperation::data_increment;
    const JournalPoint point = journal_->add({JournalOperation::data_remapping, Pbn{1}, 0,
                                              is_increment ? mapped_to(pbn) : kUnmapped,
                                              is_increment ? kUnmapped : mapped_to(pbn)});
    expect_ok(depot_->change(pbn, operation, point));
    return point;
  }
  JournalPoint use(Pbn pbn) { return change(pbn, ReferenceOperation::data_increment); }
  JournalPoint drop(Pbn pbn) { return change(pbn, ReferenceOperation::data_decrement); }
  /// A block that is referenced once.
  Pbn take() {
    const Pbn pbn = depot_->allocate(1, false)->first;
    use(pbn);
    return pbn;
  }
  [[nodiscard]] std::uint64_t all_blocks() const { return kSlabs * super_.depot.slab.data_blocks; }
  /// Loads a depot that was in use, and makes its counts out.
  Task<void> load() {
    expect_ok(co_await depot_->load_summary(1));
    expect_ok(co_await depot_->load_journals());
    expect_ok(co_await depot_->scrub_all());
  }

  SimExecutor executor_{{.seed = 4}};
  VolumeLayout layout_ = make_layout();
  SuperBlock super_;
  SimDevice disk_;
  ReadOnlyNotifier notifier_;
  std::optional<RecoveryJournal> journal_;
  std::optional<SlabDepot> depot_;
};

TEST_F(SlabDepotTest, PromisesNoMoreThanThereIs) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    EXPECT_EQ(depot_->free_blocks(), all_blocks());
    EXPECT_TRUE(depot_->reserve(all_blocks() - 1));
    EXPECT_FALSE(depot_->reserve(2));
    const auto unpromised = depot_->allocate(10, false);
    EXPECT_TRUE(unpromised && unpromised->count == 1) << "the one that nobody was promised";
    EXPECT_FALSE(depot_->allocate(1, false));
    const auto promised = depot_->allocate(10, true);
    EXPECT_TRUE(promised && promised->count == 10) << "neighbours, as there are some";
    depot_->unreserve(all_blocks() - 11);
    EXPECT_EQ(depot_->free_blocks(), all_blocks() - 11);
    EXPECT_FALSE(depot_->has_promises());
  });
}

TEST_F(SlabDepotTest, AFreedBlockIsFreeWhenItsEntryIsStableAndItsReadersHaveEnded) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    const Pbn pbn = take();
    EXPECT_EQ(depot_->free_blocks(), all_blocks() - 1);
    std::optional<ReadGuard> reader(std::in_place, depot_->epochs());
    const JournalPoint point = drop(pbn);
    EXPECT_TRUE(depot_->has_pending_frees());
    EXPECT_EQ(depot_->count_of(pbn), kProvisional);
    EXPECT_TRUE(depot_->reserve(1)) << "of the others";
    EXPECT_TRUE(depot_->has_pending_frees()) << "its entry may be lost";
    expect_ok(co_await journal_->commit(point));
    EXPECT_FALSE(depot_->reserve(all_blocks() - 1)) << "somebody may read it";
    reader.reset();
    EXPECT_TRUE(depot_->reserve(all_blocks() - 1));
    EXPECT_FALSE(depot_->has_pending_frees());
    EXPECT_EQ(depot_->count_of(pbn), kFree);
  });
}

TEST_F(SlabDepotTest, WhoWaitsForFreesHasTheJournalCommitted) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    drop(take());
    co_await depot_->wait_for_frees();
    EXPECT_EQ(depot_->free_blocks(), all_blocks());
  });
}

TEST_F(SlabDepotTest, SharesWhatIsUsedOrAboutToBecomeFreeUpToTheMostReferences) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    const Pbn pbn = take();
    const auto may_share = [&] { return depot_->may_share(mapped_to(pbn)); };
    EXPECT_TRUE(may_share());
    for (unsigned i = 1; i < kMaxReferences; ++i) use(pbn);
    EXPECT_FALSE(may_share());
    for (unsigned i = 1; i < kMaxReferences; ++i) drop(pbn);
    EXPECT_TRUE(may_share());
    drop(pbn);
    EXPECT_TRUE(may_share()) << "not free yet";
    use(pbn);
    EXPECT_FALSE(depot_->has_pending_frees()) << "and so it never was";
    drop(pbn);
    co_await depot_->wait_for_frees();
    EXPECT_FALSE(may_share());
  });
}

TEST_F(SlabDepotTest, NobodyIsGivenOrSharesWhatIsClaimedToBeGivenBack) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    const auto data_blocks = static_cast<Sbn>(super_.depot.slab.data_blocks);
    EXPECT_FALSE(depot_->claim_run(0, 0, data_blocks, 8)) << "it was never used";
    const Pbn used = take();
    const SlabNumber slab = depot_->layout().slab_of(used);
    const auto run = depot_->claim_run(slab, 0, data_blocks, 8);
    EXPECT_TRUE(run && run->count == 8);
    if (!run) co_return;
    EXPECT_EQ(run->first, used + 1) << "behind the one that is used";
    EXPECT_FALSE(depot_->claim_free(run->first)) << "no advice of the index leads there";
    EXPECT_FALSE(depot_->may_share(mapped_to(run->first)));
    EXPECT_EQ(depot_->allocated_blocks(), 1U);
    const auto next = depot_->allocate(1, false);
    EXPECT_EQ(next->first, run->first + 8);
    depot_->release(next->first);
    EXPECT_FALSE(depot_->reserve(all_blocks() - 1));
    EXPECT_TRUE(depot_->reserve(all_blocks() - 9));
    EXPECT_FALSE(depot_->claim_run(slab, 0, data_blocks, 8)) << "the rest is promised";
    // Who finds no other room waits for it.
    EXPECT_TRUE(depot_->has_pending_frees());
    TaskGroup waiting(executor_);
    waiting.start(depot_->wait_for_frees());
    co_await executor_.next_turn();
    depot_->give_back(*run);
    co_await waiting.wait();
    EXPECT_FALSE(depot_->has_pending_frees());
    EXPECT_TRUE(depot_->reserve(8));
    depot_->unreserve(all_blocks() - 1);
  });
}

TEST_F(SlabDepotTest, AreasWhereBlocksHaveBecomeFreeAreFoundOnce) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    std::vector<Pbn> used;
    for (std::uint32_t i = 0; i < 2 * kFreedAreaBlocks + 1; ++i) used.push_back(take());
    const SlabNumber slab = depot_->layout().slab_of(used[0]);
    EXPECT_FALSE(depot_->take_freed_areas(slab, 0));
    drop(used[kFreedAreaBlocks]);
    EXPECT_FALSE(depot_->take_freed_areas(slab, 0)) << "its entry may be lost";
    drop(used[2 * kFreedAreaBlocks]);
    co_await depot_->wait_for_frees();
    EXPECT_EQ(depot_->released_blocks(), 2U);
    const auto areas = depot_->take_freed_areas(slab, 0);
    EXPECT_TRUE(areas && areas->first == kFreedAreaBlocks);
    EXPECT_TRUE(areas && areas->count == 2 * kFreedAreaBlocks) << "neighbours come together";
    EXPECT_FALSE(depot_->take_freed_areas(slab, 0));
    // What is given back has not become free by that.
    const auto run = depot_->claim_run(slab, kFreedAreaBlocks, 2 * kFreedAreaBlocks, 100);
    EXPECT_TRUE(run && run->first == used[kFreedAreaBlocks] && run->count == 1);
    if (run) depot_->give_back(*run);
    EXPECT_FALSE(depot_->take_freed_areas(slab, 0));
    depot_->leave_freed_areas(slab, 0, kFreedAreaBlocks);
    EXPECT_TRUE(depot_->take_freed_areas(slab, 0)) << "left for later";
  });
}

TEST_F(SlabDepotTest, WhoWatchesABlockLearnsThatItWasFree) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    const Pbn pbn = take();
    depot_->watch(pbn);
    drop(pbn);
    EXPECT_FALSE(depot_->was_freed(pbn));
    co_await depot_->wait_for_frees();
    EXPECT_TRUE(depot_->was_freed(pbn));
    depot_->unwatch(pbn);
  });
}

TEST_F(SlabDepotTest, ACountThatCannotBeIsAnError) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    const Pbn pbn = depot_->allocate(1, false)->first;
    const JournalPoint point =
        journal_->add({JournalOperation::data_remapping, Pbn{1}, 0, kUnmapped, mapped_to(pbn)});
    const auto changed = depot_->change(pbn, ReferenceOperation::data_decrement, point);
    EXPECT_FALSE(changed.ok());
    EXPECT_EQ(changed.error().code(), Errc::corrupt);
    depot_->release(pbn);
  });
}

TEST_F(SlabDepotTest, WhatWasSavedIsLoaded) {
  Pbn shared;
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    for (int i = 0; i < 300; ++i) shared = take();  // more than one slab has
    use(shared);
    expect_ok(co_await depot_->save());
    expect_ok(co_await disk_.flush());
  });
  disk_.crash(SimCrashStyle::drop_all);
  disk_.restart();
  start();
  run([&]() -> Task<void> {
    co_await load();
    EXPECT_EQ(depot_->unscrubbed(), 0U);
    EXPECT_EQ(depot_->count_of(shared), 2);
    EXPECT_EQ(depot_->free_blocks(), all_blocks() - 300);
    EXPECT_EQ(depot_->allocated_blocks(), 300U);
  });
}

TEST_F(SlabDepotTest, ACrashTakesNothingOfWhatItsJournalsHave) {
  Pbn shared;
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    for (int i = 0; i < 20; ++i) shared = take();
    use(shared);
    // All journal blocks, full or not; no counts.
    expect_ok(co_await depot_->write_back(journal_->tail() + 1));
    expect_ok(co_await disk_.flush());
    EXPECT_EQ(depot_->counters().ref_counts.blocks_written, 0U);
  });
  disk_.crash(SimCrashStyle::drop_all);
  disk_.restart();
  start();
  run([&]() -> Task<void> {
    co_await load();
    EXPECT_EQ(depot_->count_of(shared), 2);
    EXPECT_EQ(depot_->allocated_blocks(), 20U);
  });
}

TEST_F(SlabDepotTest, ARecoveryJournalsWhatIsMissingAndNothingTwice) {
  Pbn written;
  Pbn missing;
  JournalPoint first;
  JournalPoint second;
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    written = depot_->allocate(1, false)->first;
    first = use(written);
    expect_ok(co_await depot_->write_back(journal_->tail() + 1));
    expect_ok(co_await disk_.flush());
    missing = depot_->allocate(1, false)->first;
    second = use(missing);
    expect_ok(co_await journal_->commit(second));
  });
  disk_.crash(SimCrashStyle::drop_all);
  disk_.restart();
  start();
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_summary(1));
    expect_ok(co_await depot_->load_journal_tails());
    EXPECT_FALSE(depot_->recover_change(written, ReferenceOperation::data_increment, first));
    EXPECT_TRUE(depot_->recover_change(missing, ReferenceOperation::data_increment, second));
    EXPECT_FALSE(depot_->recover_change(missing, ReferenceOperation::data_increment, second));
    expect_ok(co_await depot_->write_recovered(true));
    depot_->load_unused();
    expect_ok(co_await depot_->scrub_first());
    Result<void> scrubbed;
    while (scrubbed && depot_->unscrubbed() > 0) scrubbed = co_await depot_->scrub_next();
    expect_ok(scrubbed);
    EXPECT_EQ(depot_->count_of(written), 1);
    EXPECT_EQ(depot_->count_of(missing), 1);
    EXPECT_EQ(depot_->allocated_blocks(), 2U);
  });
}

TEST_F(SlabDepotTest, WritingMakesRoomInASlabJournalThatIsFull) {
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    bool is_asked = false;
    depot_->on_write_back_needed([&] { is_asked = true; });
    const Pbn pbn = take();
    std::uint64_t passes = 0;
    // Many times as much as the ring holds.
    for (std::uint64_t i = 0; i < super_.depot.slab.slab_journal_blocks * 1500; ++i) {
      while (!depot_->has_room(pbn) || !journal_->has_room()) {
        expect_ok(co_await depot_->write_back(journal_->tail() + 1));
        expect_ok(co_await journal_->commit_all());
        expect_ok(co_await journal_->reap());
        depot_->check_invariants();
        ++passes;
      }
      if (depot_->has_most_frees()) co_await depot_->wait_for_fewer_frees();
      i % 2 == 0 ? use(pbn) : drop(pbn);
    }
    EXPECT_TRUE(is_asked);
    EXPECT_GT(passes, 0U);
    EXPECT_GT(depot_->counters().slab_journal.flush_count, 0U)
        << "counts were written to give blocks up";
    EXPECT_EQ(depot_->count_of(pbn), 1);
  });
}

TEST_F(SlabDepotTest, GrowsBySlabsThatWereNeverUsed) {
  auto grown = grown_layout(layout_.geometry, super_, super_.config.physical_blocks + kGrowth);
  ASSERT_TRUE(grown.ok()) << grown.error().message();
  run([&]() -> Task<void> {
    expect_ok(co_await depot_->load_new());
    take();
    const std::uint64_t added = SlabLayout(grown->depot).slab_count() - kSlabs;
    EXPECT_GT(added, 0U);
    co_await depot_->begin_growth(*grown, PageMemory());
    EXPECT_EQ(depot_->slab_count(), kSlabs) << "nobody knows them yet";
    expect_ok(co_await depot_->write_grown_summary(*grown));
    depot_->grow(*grown);
    EXPECT_EQ(depot_->slab_count(), kSlabs + added);
    EXPECT_EQ(depot_->free_blocks(), (kSlabs + added) * super_.depot.slab.data_blocks - 1);
    co_await depot_->begin_growth(*grown, PageMemory());
    depot_->give_up_growth();
    EXPECT_EQ(depot_->slab_count(), kSlabs + added);
  });
}

}  // namespace
}  // namespace uvdo
