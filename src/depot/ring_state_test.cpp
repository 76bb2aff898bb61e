// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/ring_state.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocks = 8;

/// Closes, writes and names `count` blocks, which say what the head is; a flush follows.
void fill(RingState& ring, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    ring.block_was_closed();
    ring.block_was_named(ring.next() - 1, ring.head());
    ring.check_invariants();
  }
  ring.summary_is_durable();
  ring.check_invariants();
}
bool nobody(SlabSequence) { return false; }

TEST(RingState, OfANewSlabBeginsAtBlock1) {
  const RingState ring(kBlocks);
  ring.check_invariants();
  EXPECT_EQ(ring.next(), SlabSequence{1});
  EXPECT_EQ(ring.in_use(), 0U);
  EXPECT_EQ(ring.write_limit(), SlabSequence{1 + kBlocks});
}

TEST(RingState, WhatIsGivenUpIsUsedAgainOnlyWhenADurableSummaryLeadsPastIt) {
  RingState ring(kBlocks);
  fill(ring, 3);
  EXPECT_EQ(ring.in_use(), 3U);
  ring.give_up(nobody);
  EXPECT_EQ(ring.head(), SlabSequence{4});
  EXPECT_EQ(ring.in_use(), 3U) << "no block on disk says so";
  ring.block_was_closed();
  EXPECT_EQ(ring.in_use(), 4U);
  ring.block_was_named(SlabSequence{4}, ring.head());
  EXPECT_EQ(ring.in_use(), 4U) << "the summary may be lost";
  ring.summary_is_durable();
  EXPECT_EQ(ring.in_use(), 1U);
  EXPECT_EQ(ring.write_limit(), SlabSequence{4 + kBlocks});
  ring.check_invariants();
}

TEST(RingState, GivesUpNoBlockBehindOneThatIsHeldAndNoneInMemory) {
  RingState ring(kBlocks);
  fill(ring, 3);
  ring.block_was_closed();  // in memory
  ring.give_up([](SlabSequence block) { return block == SlabSequence{2}; });
  EXPECT_EQ(ring.head(), SlabSequence{2});
  ring.give_up(nobody);
  EXPECT_EQ(ring.head(), SlabSequence{4});
  EXPECT_EQ(ring.named(), SlabSequence{4});
  ring.check_invariants();
}

TEST(RingState, AHeadThatWasWrittenBeforeIsTheOneThatCounts) {
  RingState ring(kBlocks);
  fill(ring, 2);
  ring.block_was_closed();
  const SlabSequence as_written = ring.head();
  ring.give_up(nobody);  // between the block's writing and the summary's
  ring.block_was_named(SlabSequence{3}, as_written);
  ring.summary_is_durable();
  ring.check_invariants();
  EXPECT_EQ(ring.in_use(), 3U);
}

TEST(RingState, NamedCleanNeedsNoBlockAfterAFlush) {
  RingState ring(kBlocks);
  fill(ring, kBlocks);
  EXPECT_EQ(ring.next(), ring.write_limit()) << "the ring is full";
  ring.give_up(nobody);
  ring.was_named_clean();
  EXPECT_EQ(ring.in_use(), kBlocks);
  ring.summary_is_durable();
  ring.check_invariants();
  EXPECT_EQ(ring.in_use(), 0U);
}

TEST(RingState, IsLoadedAndScrubbed) {
  RingState ring(kBlocks);
  ring.load(SlabSequence{10}, SlabSequence{15});
  ring.check_invariants();
  EXPECT_EQ(ring.in_use(), 5U);
  ring.block_was_closed();
  ring.was_scrubbed();
  ring.check_invariants();
  EXPECT_EQ(ring.head(), SlabSequence{15});
  EXPECT_EQ(ring.in_use(), 1U) << "what is in memory was not scrubbed";
}

TEST(RingState, ARecoveryOverwritesTheOldestBlocksOfAFullRing) {
  RingState ring(kBlocks);
  ring.load(SlabSequence{10}, SlabSequence{17});
  ring.take_place_of(ring.next());
  EXPECT_EQ(ring.head(), SlabSequence{10});
  ring.block_was_closed();
  ring.take_place_of(ring.next());
  EXPECT_EQ(ring.head(), SlabSequence{11});
  EXPECT_EQ(ring.write_limit(), SlabSequence{11 + kBlocks});
  ring.check_invariants();
  EXPECT_EQ(ring.place_of(SlabSequence{18}), ring.place_of(SlabSequence{10}));
}

TEST(RingStateDeathTest, ANamedBlockThatWasNeverClosedIsNoticed) {
  RingState ring(kBlocks);
  ring.block_was_named(SlabSequence{3}, SlabSequence{1});
  EXPECT_DEATH(ring.check_invariants(), "names only what was closed");
}

}  // namespace
}  // namespace uvdo
