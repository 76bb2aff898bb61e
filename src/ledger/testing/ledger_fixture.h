// SPDX-License-Identifier: GPL-2.0-or-later
// A ledger of a new volume on a simulated disk, for tests of it and of what stands on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/testing/willing_disk.h"
#include "format/volume_layout.h"
#include "ledger/ledger.h"

namespace uvdo::testing {

class LedgerFixture : public ::testing::Test {
 protected:
  LedgerFixture() {
    FormatRequest request;
    request.device_bytes = kVolumeBytes;
    request.slab_bits = 13;
    request.logical_bytes = kLogicalBytes;
    request.nonce = 7;
    layout = std::make_unique<VolumeLayout>(*make_volume_layout(request));
    make_ledger(device);
  }

  /// A ledger that knows nothing yet, on `way` to the device. Who was given the one before keeps
  /// it.
  Ledger& make_ledger(Device& way) {
    former_ledgers.push_back(std::move(ledger));
    LedgerSettings settings;
    settings.block_map_cache_pages = 256;
    settings.block_map_maximum_age = 16380;
    settings.depot = {64, 1024, 256};
    ledger = std::make_unique<Ledger>(executor, PbnDevice(way, layout->geometry.bio_offset),
                                      layout->super_block, settings, notifier, log_to());
    return *ledger;
  }
  LogFunction log_to() {
    return [this](const LogLine& line) { log.push_back(line.text); };
  }

  /// Runs a coroutine with the ledger loaded.
  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run([](LedgerFixture& self, Body& what) -> Task<void> {
      auto loaded = co_await self.ledger->depot().load_new();
      EXPECT_TRUE(loaded.ok());
      co_await what();
      self.ledger->check_invariants();
    }(*this, body));
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_EQ(device.misuse(), "");
  }
  /// Lets all go on that can, for a moment.
  Task<void> settle() {
    Alarm alarm(executor);
    co_await alarm.sleep(std::chrono::milliseconds(1));
  }
  /// Writes all pages of the map and has another ledger begin that has none in memory. What is to
  /// use that is made after this.
  Task<void> forget_leaves(Device& way) {
    auto committed = co_await ledger->journal().commit_all();
    EXPECT_TRUE(committed.ok());
    auto saved = co_await ledger->map().save();
    EXPECT_TRUE(saved.ok());
    saved = co_await ledger->depot().save();
    EXPECT_TRUE(saved.ok());
    RecoveryJournalState& journal = layout->super_block.journal;
    journal.journal_start = ledger->journal().close_block();
    journal.logical_blocks_used = ledger->journal().logical_blocks_used();
    journal.block_map_blocks = ledger->journal().block_map_blocks();
    make_ledger(way);
    auto loaded = co_await ledger->depot().load_summary(1);
    EXPECT_TRUE(loaded.ok());
    loaded = co_await ledger->depot().load_journals();
    EXPECT_TRUE(loaded.ok());
    loaded = co_await ledger->depot().scrub_all();
    EXPECT_TRUE(loaded.ok());
  }
  /// The leaf of a block, which is made.
  Task<LeafPin> leaf_of(Lbn lbn) {
    auto made = co_await ledger->map().ensure_leaf(page_number(lbn));
    EXPECT_TRUE(made.ok());
    auto leaf = co_await ledger->map().leaf(page_number(lbn));
    co_return std::move(*leaf);
  }
  /// What the map says of a block.
  Task<BlockMapping> mapping_of(Lbn lbn) {
    auto leaf = co_await ledger->map().leaf(page_number(lbn));
    EXPECT_TRUE(leaf.ok());
    co_return *leaf ? (*leaf)->entry(leaf_slot(lbn)) : kUnmapped;
  }
  /// A block that was given out, and is in nobody's map yet.
  Pbn new_block() {
    EXPECT_TRUE(ledger->depot().reserve(1));
    return ledger->depot().allocate(1, true)->first;
  }
  [[nodiscard]] unsigned references(Pbn pbn) const {
    return ledger->depot().count_of(pbn).value_or(999);
  }
  [[nodiscard]] std::uint64_t byte_of(Pbn pbn) const {
    return device_byte(pbn, layout->geometry.bio_offset);
  }

  static constexpr std::uint64_t kVolumeBytes = 3ULL << 30U;
  static constexpr std::uint64_t kLogicalBytes = 512ULL << 20U;
  /// A volume may grow on it.
  static constexpr std::uint64_t kDeviceBytes = 4ULL << 30U;
  std::unique_ptr<VolumeLayout> layout;
  SimExecutor executor{{.seed = 1}};
  SimDevice device{executor, kDeviceBytes, kAnswersAtOnce};
  ReadOnlyNotifier notifier;
  std::vector<std::string> log;
  std::unique_ptr<Ledger> ledger;
  std::vector<std::unique_ptr<Ledger>> former_ledgers;
};

}  // namespace uvdo::testing
