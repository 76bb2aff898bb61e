// SPDX-License-Identifier: GPL-2.0-or-later
// A ledger of a new volume in memory, for tests of it and of what stands on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "format/volume_layout.h"
#include "ledger/ledger.h"

namespace uvdo::testing {

class LedgerFixture : public ::testing::Test {
 protected:
  LedgerFixture() {
    FormatRequest request;
    request.device_bytes = kDeviceBytes;
    request.slab_bits = 13;
    request.logical_bytes = 64ULL << 20U;
    request.nonce = 7;
    layout = std::make_unique<VolumeLayout>(*make_volume_layout(request));
    device = std::move(*MemoryDevice::create(kDeviceBytes));
    LedgerSettings settings;
    settings.block_map_cache_pages = 256;
    settings.block_map_maximum_age = 16380;
    settings.depot = {64, 1024, 256};
    ledger = std::make_unique<Ledger>(executor, PbnDevice(*device, layout->geometry.bio_offset),
                                      layout->super_block, settings, notifier,
                                      [this](const LogLine& line) { log.push_back(line.text); });
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
  }
  /// The leaf of a block, which is made.
  Task<LeafPin> leaf_of(Lbn lbn) {
    auto made = co_await ledger->map().ensure_leaf(page_number(lbn));
    EXPECT_TRUE(made.ok());
    auto leaf = co_await ledger->map().leaf(page_number(lbn));
    co_return std::move(*leaf);
  }
  /// A block that was given out, and is in nobody's map yet.
  Pbn new_block() {
    EXPECT_TRUE(ledger->depot().reserve(1));
    return ledger->depot().allocate(1, true)->first;
  }

  static constexpr std::uint64_t kDeviceBytes = 3ULL << 30U;
  std::unique_ptr<VolumeLayout> layout;
  SimExecutor executor{{.seed = 1}};
  std::unique_ptr<MemoryDevice> device;
  ReadOnlyNotifier notifier;
  std::vector<std::string> log;
  std::unique_ptr<Ledger> ledger;
};

}  // namespace uvdo::testing
