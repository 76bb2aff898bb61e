// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger/ledger.h"

#include <array>

#include "ledger/testing/ledger_fixture.h"

namespace uvdo {
namespace {

using Outcome = Ledger::Outcome;
using Owner = Ledger::Owner;

class LedgerTest : public testing::LedgerFixture {
 protected:
  Outcome remap(MapPage& leaf, Lbn lbn, BlockMapping mapping, Owner owner = Owner::caller) {
    auto changed = ledger->remap(leaf, lbn, mapping, owner);
    EXPECT_TRUE(changed.ok());
    return changed->outcome;
  }
  [[nodiscard]] std::uint64_t used() const { return ledger->journal().logical_blocks_used(); }
};

TEST_F(LedgerTest, AChangeIsInTheJournalTheCountsAndTheMapAtOnce) {
  run([this]() -> Task<void> {
    const Lbn lbn{5};
    LeafPin leaf = co_await leaf_of(lbn);
    const Pbn pbn = new_block();
    const JournalPoint before = ledger->journal().last_point();
    EXPECT_EQ(remap(*leaf, lbn, mapped_to(pbn)), Outcome::done);
    EXPECT_EQ(leaf->entry(leaf_slot(lbn)), mapped_to(pbn));
    EXPECT_EQ(references(pbn), 1U);
    EXPECT_EQ(used(), 1U);
    EXPECT_LT(before, ledger->journal().last_point());

    EXPECT_EQ(remap(*leaf, lbn, kUnmapped), Outcome::done);
    EXPECT_EQ(leaf->entry(leaf_slot(lbn)), kUnmapped);
    EXPECT_EQ(used(), 0U);
    // The entry that frees it is not stable yet.
    EXPECT_EQ(ledger->depot().pending_free_count(), 1U);
  });
}

TEST_F(LedgerTest, WhatIsSoAlreadyTakesNoEntryOfTheJournal) {
  run([this]() -> Task<void> {
    const Lbn lbn{5};
    LeafPin leaf = co_await leaf_of(lbn);
    const JournalPoint before = ledger->journal().last_point();
    EXPECT_EQ(remap(*leaf, lbn, kUnmapped), Outcome::done);
    EXPECT_EQ(ledger->journal().last_point(), before);
  });
}

TEST_F(LedgerTest, ABlockOfOthersIsSharedUntilItHasNoReferenceLeft) {
  run([this]() -> Task<void> {
    LeafPin leaf = co_await leaf_of(Lbn{0});
    const Pbn pbn = new_block();
    EXPECT_EQ(remap(*leaf, Lbn{0}, mapped_to(pbn)), Outcome::done);
    Lbn next{1};
    for (; next < Lbn{254}; ++next) {
      EXPECT_EQ(remap(*leaf, next, mapped_to(pbn), Owner::others), Outcome::done);
    }
    EXPECT_EQ(references(pbn), 254U);
    EXPECT_EQ(remap(*leaf, next, mapped_to(pbn), Owner::others), Outcome::cannot_share);
    EXPECT_EQ(leaf->entry(leaf_slot(next)), kUnmapped);
    EXPECT_EQ(references(pbn), 254U);
  });
}

TEST_F(LedgerTest, ARunIsDroppedUpToTheFirstBlockThatIsTaken) {
  run([this]() -> Task<void> {
    LeafPin leaf = co_await leaf_of(Lbn{0});
    for (Lbn lbn{0}; lbn < Lbn{20}; ++lbn) {
      EXPECT_EQ(remap(*leaf, lbn, mapped_to(new_block())), Outcome::done);
    }
    const auto dropped =
        ledger->drop(*leaf, Lbn{0}, 20, kUnmapped, [](Lbn lbn) { return lbn == Lbn{12}; });
    EXPECT_EQ(*dropped, 12U);
    EXPECT_EQ(used(), 8U);
    EXPECT_EQ(leaf->entry(11), kUnmapped);
    EXPECT_NE(leaf->entry(12), kUnmapped);
  });
}

TEST_F(LedgerTest, AnInvalidEntryIsTakenAsUnmappedAndThatIsSaid) {
  run([this]() -> Task<void> {
    const Lbn lbn{3};
    LeafPin leaf = co_await leaf_of(lbn);
    const Pbn nowhere{layout->super_block.config.physical_blocks + 1};
    ledger->map().set(*leaf, leaf_slot(lbn), mapped_to(nowhere), ledger->journal().last_point());
    const Pbn pbn = new_block();
    EXPECT_EQ(remap(*leaf, lbn, mapped_to(pbn)), Outcome::done);
    EXPECT_EQ(references(pbn), 1U);
    EXPECT_EQ(log.size(), 1U);
    EXPECT_NE(log.back().find("logical block 3 was invalid"), std::string::npos);
  });
}

TEST_F(LedgerTest, InReadOnlyModeNothingChanges) {
  run([this]() -> Task<void> {
    const Lbn lbn{3};
    LeafPin leaf = co_await leaf_of(lbn);
    notifier.enter(Error(Errc::io, "the disk has failed"));
    EXPECT_FALSE(ledger->remap(*leaf, lbn, kMappedZero, Owner::caller).ok());
    EXPECT_FALSE(ledger->drop(*leaf, lbn, 1, kUnmapped, [](Lbn) { return false; }).ok());
    EXPECT_EQ(leaf->entry(leaf_slot(lbn)), kUnmapped);
  });
}

TEST_F(LedgerTest, WhoSeeksABlockHasThoseComeToAnEndWhoWerePromisedAll) {
  run([this]() -> Task<void> {
    SlabDepot& depot = ledger->depot();
    const std::uint64_t all = depot.free_blocks();
    EXPECT_TRUE(depot.reserve(all));
    bool is_told = false;
    ledger->on_wanting([&] { depot.unreserve(all); });
    const auto block = co_await ledger->seek_block([&] { is_told = true; });
    EXPECT_TRUE(block.ok());
    EXPECT_TRUE(is_told);
  });
}

TEST_F(LedgerTest, WhereNoBlockIsLeftThatIsAnError) {
  run([this]() -> Task<void> {
    SlabDepot& depot = ledger->depot();
    const std::uint64_t all = depot.free_blocks();
    EXPECT_TRUE(depot.reserve(all));
    for (std::uint64_t taken = 0; taken < all;) {
      taken += depot.allocate(static_cast<std::uint32_t>(all - taken), true)->count;
    }
    const auto block = co_await ledger->seek_block([] {});
    EXPECT_EQ(block.error().code(), Errc::no_space);
  });
}

TEST_F(LedgerTest, ALogicalGrowthGivesTheMapMoreLeaves) {
  run([this]() -> Task<void> {
    SuperBlock grown = layout->super_block;
    grown.config.logical_blocks = std::uint64_t{1} << 30U;
    ledger->tell_of_growth(grown);
    const Lbn last{grown.config.logical_blocks - 1};
    LeafPin leaf = co_await leaf_of(last);
    EXPECT_EQ(remap(*leaf, last, kMappedZero), Outcome::done);
  });
}

}  // namespace
}  // namespace uvdo
