// SPDX-License-Identifier: GPL-2.0-or-later
// A volume on a simulated disk as a crash leaves it: entries of its recovery journal are stable,
// and what they demand of the block map and the slabs was never written.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "depot/slab_depot.h"
#include "device/testing/willing_disk.h"
#include "format/block_map_page.h"
#include "format/volume_layout.h"
#include "journal/journal_scan.h"
#include "journal/recovery_journal.h"

namespace uvdo::testing {

class CrashedVolume : public ::testing::Test {
 protected:
  CrashedVolume() {
    FormatRequest request;
    request.device_bytes = kVolumeBytes;
    request.slab_bits = 13;
    request.logical_bytes = 64ULL << 20U;
    request.nonce = 7;
    layout = *make_volume_layout(request);
    super.state = VolumeState::dirty;
    super.depot.zone_count = 1;
    // A short ring, so that little has to be read.
    for (Partition& partition : super.layout.partitions) {
      if (partition.id == PartitionId::recovery_journal) partition.blocks = kRing;
    }
    super.config.journal_size = kRing;
  }
  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run(body());
    EXPECT_TRUE(outcome) << outcome.why;
    EXPECT_EQ(device.misuse(), "");
  }

  /// A journal of this volume in use, with a depot that was never used.
  struct InUse {
    InUse(CrashedVolume& of, const SuperBlock& super_block)
        : journal(of.executor, of.blocks, notifier,
                  {super_block.find(PartitionId::recovery_journal).start, kRing, super_block.nonce,
                   super_block.recovery_count(), super_block.journal.journal_start}),
          depot(of.executor, of.blocks, super_block, journal, notifier, {64, 1024, 256}) {}
    ReadOnlyNotifier notifier;
    RecoveryJournal journal;
    SlabDepot depot;
  };
  /// Writes what a crash leaves of a volume that was new and in which these changes were made.
  template <class... Entries>
  Task<void> crash_with(Entries... entries) {
    return crash_with_all(std::vector<JournalEntry>{entries...});
  }
  Task<void> crash_with_all(std::vector<JournalEntry> entries) {
    InUse volume(*this, super);
    EXPECT_TRUE((co_await volume.depot.load_new()).ok());
    for (const JournalEntry& entry : entries) volume.journal.add(entry);
    EXPECT_TRUE((co_await volume.journal.commit_all()).ok());
    EXPECT_TRUE((co_await device.flush()).ok());
  }
  /// Makes slot `slot` of the leaf at `page` name data block `data` of the slabs.
  [[nodiscard]] JournalEntry maps(Pbn page, std::uint16_t slot, std::uint64_t data,
                                  BlockMapping old = kUnmapped) const {
    return {JournalOperation::data_remapping, page, slot, mapped_to(block(data)), old};
  }
  /// Data block `number` of the first slab.
  [[nodiscard]] Pbn block(std::uint64_t number) const { return super.depot.first_block + number; }
  /// What a power cut now leaves of a page of the map.
  [[nodiscard]] AlignedMemory page_at(Pbn page) const {
    AlignedMemory found(kBlockSize);
    device.durable().read(device_byte(page, layout.geometry.bio_offset), found.bytes());
    return found;
  }
  [[nodiscard]] std::uint64_t byte_of(Pbn pbn) const { return blocks.byte_of(pbn); }
  [[nodiscard]] JournalRing ring() const { return journal_ring(super); }
  LogFunction log_to() {
    return [this](const LogLine& line) { log.push_back(line.text); };
  }
  [[nodiscard]] bool has_logged(std::string_view text) const {
    return std::ranges::any_of(
        log, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }

  static constexpr std::uint64_t kVolumeBytes = 3ULL << 30U;
  static constexpr std::uint64_t kRing = 64;
  VolumeLayout layout;
  /// As it is on the disk.
  SuperBlock& super = layout.super_block;
  SimExecutor executor{{.seed = 1}};
  SimDevice device{executor, kVolumeBytes, kAnswersAtOnce};
  PbnDevice blocks{device, 0};
  std::vector<std::string> log;
};

}  // namespace uvdo::testing
