// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/saver.h"

#include "ledger/testing/ledger_fixture.h"
#include "volume/testing/entrance_bench.h"

namespace uvdo {
namespace {

/// A volume without an index.
class SaverTest : public testing::LedgerFixture {
 protected:
  Task<void> map_a_block() {
    LeafPin leaf = co_await leaf_of(Lbn{1});
    auto changed = ledger->remap(*leaf, Lbn{1}, mapped_to(new_block()), Ledger::Owner::caller);
    EXPECT_TRUE(changed.ok());
  }

  testing::EntranceBench bench{executor, device, notifier, layout->super_block,
                               layout->geometry.data_start};
  SuperBlockStore& super_blocks = bench.super_blocks;
  VolumeOptions options;
  IndexHolder index{executor, bench.life, bench.entrance, options, [](const LogLine&) {}};
  Saver saver{notifier, *ledger, index, super_blocks};
};

TEST_F(SaverTest, WhatIsSavedIsCleanAndStartsBehindTheJournal) {
  run([this]() -> Task<void> {
    co_await map_a_block();
    auto saved = co_await saver.save(IndexHolder::Saving::and_close);
    EXPECT_TRUE(saved.ok());
    EXPECT_EQ(saver.progress(), Saver::Progress::saved);
    const SuperBlock& now = super_blocks.current();
    EXPECT_EQ(now.state, VolumeState::clean);
    EXPECT_EQ(now.journal.journal_start, ledger->journal().tail());
    EXPECT_EQ(now.journal.logical_blocks_used, 1U);
    EXPECT_EQ(ledger->map().dirty_pages(), 0U);
  });
}

TEST_F(SaverTest, OverAnErrorNothingIsMarkedClean) {
  run([this]() -> Task<void> {
    co_await map_a_block();
    const VolumeState before = super_blocks.current().state;
    notifier.enter(Error(Errc::io, "the disk has failed"));
    auto saved = co_await saver.save(IndexHolder::Saving::and_close);
    EXPECT_FALSE(saved.ok());
    EXPECT_EQ(saver.progress(), Saver::Progress::nothing);
    EXPECT_EQ(super_blocks.current().state, before);
  });
}

}  // namespace
}  // namespace uvdo
