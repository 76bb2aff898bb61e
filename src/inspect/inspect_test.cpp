// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes in memory: what is read from them, what an audit finds, and that no damage whatsoever
// makes the reader crash or go astray. The tests of golden volumes are in tests/e2e.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "format/compressed_block.h"
#include "format/recovery_journal_block.h"
#include "format/reference_block.h"
#include "inspect/audit.h"
#include "inspect/content_reader.h"
#include "inspect/test_volume.h"
#include "inspect/volume_image.h"

namespace uvdo {
namespace {

std::unique_ptr<VolumeImage> open(const TestVolume& volume, ImageOptions options = {}) {
  auto image = VolumeImage::open(volume.store(), options);
  EXPECT_TRUE(image.ok()) << (image.ok() ? "" : image.error().message());
  return image.ok() ? std::move(*image) : nullptr;
}

std::vector<Finding> findings_of(const VolumeImage& image, AuditSummary* summary = nullptr) {
  std::vector<Finding> found;
  const AuditSummary result =
      audit(image, {}, [&](const Finding& finding) { found.push_back(finding); });
  if (summary != nullptr) *summary = result;
  return found;
}

/// The only kind of error that an audit finds; fails if there are others or none.
FindingKind only_kind(const TestVolume& volume) {
  const auto image = open(volume);
  const auto found = findings_of(*image);
  EXPECT_FALSE(found.empty());
  for (const Finding& finding : found) {
    EXPECT_EQ(finding.kind, found[0].kind) << finding.text;
  }
  return found.empty() ? FindingKind::super_block : found[0].kind;
}

int byte_of(VolumeImage& image, std::uint64_t lbn) {
  std::array<std::byte, kBlockSize> bytes;
  auto ok = image.read(Lbn{lbn}, bytes);
  if (!ok) return -1;
  EXPECT_TRUE(std::ranges::all_of(bytes, [&](std::byte b) { return b == bytes[0]; }));
  return std::to_integer<int>(bytes[0]);
}

TEST(VolumeImage, ReadsEveryKindOfMapping) {
  const TestVolume volume;
  const auto image = open(volume);
  EXPECT_EQ(byte_of(*image, TestVolume::kPlain), 0x11);
  EXPECT_EQ(byte_of(*image, TestVolume::kShared + 2), 0x22);
  EXPECT_EQ(byte_of(*image, TestVolume::kZero), 0);
  EXPECT_EQ(byte_of(*image, TestVolume::kFragment), 0x33);
  EXPECT_EQ(byte_of(*image, TestVolume::kFragment + 1), 0x44);
  EXPECT_EQ(byte_of(*image, TestVolume::kLogicalBlocks - 1), 0);
  EXPECT_EQ(*image->mapping(Lbn{TestVolume::kZero}), kMappedZero);
  EXPECT_EQ(*image->mapping(Lbn{TestVolume::kZero + 1}), kUnmapped);
  auto beyond = image->mapping(Lbn{TestVolume::kLogicalBlocks});
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code(), Errc::out_of_range);
}

TEST(ContentReader, CoversEveryBlockOnceAndAgreesWithSingleReads) {
  const TestVolume volume;
  const auto image = open(volume);
  const std::array<std::pair<std::uint64_t, std::uint64_t>, 5> ranges{
      {{0, 4000}, {1, 2}, {812, 3}, {3999, 100}, {4000, 1}}};
  for (const auto& [first, count] : ranges) {
    ContentReader reader(*image, Lbn{first}, count);
    std::uint64_t at = first;
    while (auto run = reader.next()) {
      ASSERT_EQ(run->start.value(), at);
      ASSERT_GT(run->blocks, 0U);
      for (std::uint64_t i = 0; i < run->blocks; ++i) {
        const int expected = byte_of(*image, at + i);
        ASSERT_EQ(run->kind == ContentRun::Kind::data
                      ? std::to_integer<int>(run->data[i * kBlockSize])
                      : 0,
                  expected)
            << at + i;
      }
      at += run->blocks;
    }
    EXPECT_EQ(at, std::min(first + count, TestVolume::kLogicalBlocks));
  }
}

TEST(Audit, FindsNothingInAGoodVolume) {
  const TestVolume volume;
  AuditSummary summary;
  const auto found = findings_of(*open(volume), &summary);
  EXPECT_TRUE(found.empty()) << found[0].text;
  EXPECT_EQ(summary.contents.mapped_blocks, 7U);
  EXPECT_EQ(summary.contents.zero_blocks, 1U);
  EXPECT_EQ(summary.contents.tree_pages, 8U);
  EXPECT_EQ(summary.referenced_blocks, 3U);
  EXPECT_EQ(summary.compressed_blocks, 1U);
  EXPECT_EQ(summary.compressed_fragments, 2U);
  EXPECT_EQ(summary.allocated_blocks, 11U);
}

TEST(Audit, FindsEachKindOfDamage) {
  {
    TestVolume volume;
    set_entry(volume.block(volume.leaf0), 20, mapped_to(Pbn{1}));
    EXPECT_EQ(findings_of(*open(volume))[0].kind, FindingKind::mapping);
  }
  {
    TestVolume volume;
    store_u8(volume.block(volume.compressed).data(), 9);
    EXPECT_EQ(only_kind(volume), FindingKind::compressed_block);
  }
  {
    TestVolume volume;
    SuperBlock super = volume.layout().super_block;
    super.journal.logical_blocks_used += 1;
    volume.write_super_block(super);
    EXPECT_EQ(only_kind(volume), FindingKind::logical_blocks_used);
  }
  {
    TestVolume volume;
    const SlabLayout slabs(volume.layout().super_block.depot);
    store_u8(volume.block(slabs.reference_block(0, 0)).data() + 8 + 50, 3);
    EXPECT_EQ(only_kind(volume), FindingKind::reference_count);
  }
}

TEST(Audit, InteriorPageThatWasNeverWrittenHoldsNothing) {
  // What a recovery by the kernel leaves of a crash between the journal entries of a page and of
  // its first child.
  TestVolume volume;
  SuperBlock super = volume.layout().super_block;
  const Pbn root = super.block_map.root_origin + 2;
  const Sbn place = 100;
  const Pbn page = super.depot.first_block + place;
  format_page(volume.block(root), super.nonce, root);
  set_initialized(volume.block(root));
  set_entry(volume.block(root), 0, mapped_to(page));
  const SlabLayout slabs(super.depot);
  store_u8(volume.block(slabs.reference_block(0, 0)).data() + 8 + place, kMaxReferences);
  super.journal.block_map_blocks += 1;
  volume.write_super_block(super);
  const auto found = findings_of(*open(volume));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, FindingKind::block_map_page);
  EXPECT_FALSE(found[0].is_error) << found[0].text;
}

TEST(Audit, InteriorPageThatIsLostLeavesReferencesWithoutAnOwner) {
  TestVolume volume;
  const Pbn below = entry(volume.block(volume.layout().super_block.block_map.root_origin), 0).pbn;
  std::ranges::fill(volume.block(below), std::byte{0});
  const auto found = findings_of(*open(volume));
  EXPECT_TRUE(std::ranges::any_of(found, [](const Finding& f) {
    return f.is_error && f.kind == FindingKind::reference_count;
  }));
}

TEST(Audit, SharedFragmentAndWholeBlockDoNotMix) {
  TestVolume volume;
  set_entry(volume.block(volume.leaf0), 30, mapped_to(volume.compressed));
  const auto found = findings_of(*open(volume));
  EXPECT_TRUE(
      std::ranges::any_of(found, [](const Finding& f) { return f.kind == FindingKind::mapping; }));
}

TEST(Audit, PageThatLeadsToItselfIsVisitedOnce) {
  TestVolume volume;
  const SuperBlock& super = volume.layout().super_block;
  // The page below the root leads to itself from every entry: 812^3 ways.
  const Pbn below = entry(volume.block(super.block_map.root_origin), 0).pbn;
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) {
    set_entry(volume.block(below), slot, mapped_to(below));
  }
  SuperBlock large = super;
  large.config.logical_blocks = kMaxLogicalBlocks;
  volume.write_super_block(large);
  const auto found = findings_of(*open(volume));
  EXPECT_LT(found.size(), 3U * kEntriesPerPage);
  EXPECT_GE(found.size(), std::size_t{kEntriesPerPage});
}

TEST(Replay, AppliesTheJournalToPagesAndCounts) {
  TestVolume volume;
  SuperBlock super = volume.layout().super_block;
  super.state = VolumeState::dirty;
  volume.write_super_block(super);
  const JournalSequence sequence = super.journal.journal_start;
  const MutableBytes block =
      volume.block(super.find(PartitionId::recovery_journal).start + sequence.value());
  JournalBlockHeader header;
  header.block_map_head = header.slab_journal_head = header.sequence = sequence;
  header.nonce = super.nonce;
  header.entry_count = 2;
  header.logical_blocks_used = 7;
  header.block_map_blocks = 8;
  header.check_byte = check_byte_of(sequence, super.config.journal_size);
  open_journal_block(block, header);
  // One block is overwritten with the other's data, another is discarded.
  const Pbn shared = entry(volume.block(volume.leaf0), TestVolume::kShared).pbn;
  append_journal_entry(block, 0,
                       {JournalOperation::data_remapping, volume.leaf0, TestVolume::kPlain,
                        mapped_to(shared), mapped_to(volume.plain)},
                       header.check_byte, header.recovery_count);
  append_journal_entry(block, 1,
                       {JournalOperation::data_remapping, volume.leaf0, TestVolume::kShared,
                        kUnmapped, mapped_to(shared)},
                       header.check_byte, header.recovery_count);

  const auto image = open(volume);
  ASSERT_NE(image->replay(), nullptr);
  EXPECT_EQ(image->replay()->view.entries, 2U);
  EXPECT_EQ(byte_of(*image, TestVolume::kPlain), 0x22);
  EXPECT_EQ(byte_of(*image, TestVolume::kShared), 0);
  EXPECT_EQ(image->logical_blocks_used(), 6U);
  const auto found = findings_of(*image);
  EXPECT_TRUE(found.empty()) << found[0].text;

  const auto raw = open(volume, {.replay = false});
  EXPECT_EQ(byte_of(*raw, TestVolume::kPlain), 0x11);
}

/// Counts how often it is asked where the next data are.
class CountingDevice final : public SparseDevice {
 public:
  CountingDevice(SparseImage image, std::uint64_t& questions)
      : SparseDevice(std::move(image)), questions_(questions) {}
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) override {
    ++questions_;
    return SparseDevice::next_data(offset, limit);
  }

 private:
  std::uint64_t& questions_;
};

TEST(Replay, AsksForTheHolesOfTheRingOnceForManyBlocks) {
  TestVolume volume;
  SuperBlock super = volume.layout().super_block;
  super.state = VolumeState::dirty;
  volume.write_super_block(super);
  const Partition ring = super.find(PartitionId::recovery_journal);
  for (std::uint64_t i = 0; i < 1024; ++i) volume.block(ring.start + i)[9] = std::byte{1};
  for (const bool replay : {true, false}) {
    std::uint64_t questions = 0;
    auto image = VolumeImage::open(std::make_unique<CountingDevice>(volume.image(), questions),
                                   {.replay = replay});
    ASSERT_TRUE(image.ok()) << image.error().message();
    const auto overview = survey_journal(**image);
    EXPECT_TRUE(overview.ok());
    EXPECT_LE(questions, 16U);
  }
}

TEST(HostileImages, NeverCrashTheReader) {
  constexpr unsigned kSeed = 20240611;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  const TestVolume good;
  const auto blocks = good.blocks();
  unsigned opened = 0;
  for (unsigned round = 0; round < 300; ++round) {
    TestVolume volume = good;
    SuperBlock super = good.layout().super_block;
    // States that replay and rewritten sizes are reached only with a right checksum.
    super.state = static_cast<VolumeState>(random() % 8);
    if (random() % 4 == 0) super.config.logical_blocks = 1 + random() % 5000000;
    if (random() % 4 == 0) super.depot.zone_count = static_cast<std::uint8_t>(random() % 17);
    if (random() % 4 == 0) super.journal.journal_start = JournalSequence{random() % 4};
    volume.write_super_block(super);
    for (auto change = random() % 20; change > 0; --change) {
      const Pbn pbn = blocks[random() % blocks.size()];
      // Headers are the interesting part of most blocks.
      const std::size_t span = random() % 2 == 0 ? 64 : kBlockSize;
      if (pbn != good.layout().geometry.data_start && pbn != Pbn{0}) {
        store_u8(volume.block(pbn).data() + random() % span, static_cast<std::uint8_t>(random()));
      }
    }
    auto image = VolumeImage::open(volume.store());
    if (!image) continue;
    ++opened;
    const AuditSummary summary =
        audit(**image, {}, [](const Finding& f) { EXPECT_FALSE(f.text.empty()); });
    EXPECT_LE(summary.contents.tree_pages, 2000U);
    ContentReader reader(**image, Lbn{0}, 5000);
    std::uint64_t covered = 0;
    while (auto run = reader.next()) covered += run->blocks;
    EXPECT_EQ(covered, std::min<std::uint64_t>(5000, (*image)->logical_blocks()));
  }
  EXPECT_GT(opened, 100U);
}

}  // namespace
}  // namespace uvdo
