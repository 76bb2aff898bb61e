// SPDX-License-Identifier: GPL-2.0-or-later
// The metadata of slabs: journal blocks, reference counts and the summary.
#include <gtest/gtest.h>

#include "format/reference_block.h"
#include "format/slab_journal_block.h"
#include "format/slab_summary.h"
#include "format/test_fixture.h"

namespace uvdo {
namespace {

using test::Block;

SlabJournalHeader empty_header() {
  SlabJournalHeader header;
  header.head = SlabSequence{3};
  header.sequence = SlabSequence{0x123456789A};
  header.nonce = 42;
  return header;
}

static_assert(JournalPoint{5, 7}.packed() == (5U << 16U | 7U));
static_assert(JournalPoint::from_packed(5U << 16U | 7U) == JournalPoint{5, 7});
static_assert(JournalPoint{5, 65535} < JournalPoint{6, 0});
static_assert(JournalPoint{5, 7}.expanded_increment() == JournalPoint{5, 14});
static_assert(JournalPoint{5, 7}.expanded_decrement() == JournalPoint{5, 15});
static_assert(JournalPoint{5, 7}.expanded_decrement() < JournalPoint{5, 8}.expanded_increment());

TEST(SlabJournalBlock, GivesBackWhatWasAppended) {
  std::mt19937_64 random(test::kSeed);
  for (int round = 0; round < 60; ++round) {
    // In some rounds no block map increment, in others one sooner or later.
    const std::uint64_t one_in = round % 3 == 0 ? ~0ULL : round % 3 == 1 ? 5 : 1000;
    SlabJournalHeader header = empty_header();
    Block block(kBlockSize, std::byte{0x77});
    open_slab_journal_block(block, header);
    std::vector<SlabJournalEntry> model;
    while (true) {
      const auto operation = random() % one_in == 0 ? ReferenceOperation::block_map_increment
                             : random() % 2 == 0    ? ReferenceOperation::data_increment
                                                    : ReferenceOperation::data_decrement;
      if (!has_room(header, operation)) break;
      model.push_back({static_cast<Sbn>(random() % (1U << 23U)), operation});
      append_slab_journal_entry(block, header, model.back(),
                                JournalPoint{model.size(), static_cast<std::uint16_t>(random())});
    }
    encode_slab_journal_header(header, block);
    const SlabJournalHeader read = decode_slab_journal_header(block);
    EXPECT_EQ(read, header);
    EXPECT_TRUE(counts(read, 42));
    EXPECT_FALSE(counts(read, 43));
    EXPECT_EQ(read.recovery_point.sequence, model.size());
    ASSERT_EQ(read.entry_count, model.size());
    for (unsigned i = 0; i < model.size(); ++i) {
      EXPECT_EQ(slab_journal_entry(block, read, i), model[i]) << i;
    }
  }
}

TEST(SlabJournalBlock, HasItsTwoCapacities) {
  SlabJournalHeader header = empty_header();
  Block block(kBlockSize);
  open_slab_journal_block(block, header);
  const SlabJournalEntry plain{1, ReferenceOperation::data_increment};
  while (header.entry_count < 1299) append_slab_journal_entry(block, header, plain, {1, 0});
  EXPECT_FALSE(has_room(header, ReferenceOperation::block_map_increment));
  EXPECT_TRUE(has_room(header, ReferenceOperation::data_decrement));
  while (has_room(header, ReferenceOperation::data_increment)) {
    append_slab_journal_entry(block, header, plain, {1, 0});
  }
  EXPECT_EQ(header.entry_count, 1353);
  EXPECT_TRUE(counts(header, 42));

  header = empty_header();
  open_slab_journal_block(block, header);
  append_slab_journal_entry(block, header, {2, ReferenceOperation::block_map_increment}, {1, 0});
  while (has_room(header, ReferenceOperation::data_increment)) {
    append_slab_journal_entry(block, header, plain, {1, 0});
  }
  EXPECT_EQ(header.entry_count, 1299);
  ++header.entry_count;
  EXPECT_FALSE(counts(header, 42)) << "more than fits";
}

TEST(SlabJournalBlock, HasTheDocumentedBytes) {
  SlabJournalHeader header = empty_header();
  Block block(kBlockSize);
  open_slab_journal_block(block, header);
  for (int i = 0; i < 9; ++i) {
    append_slab_journal_entry(block, header, {5, ReferenceOperation::data_decrement}, {1, 2});
  }
  append_slab_journal_entry(block, header, {0x654321, ReferenceOperation::block_map_increment},
                            {0x1111, 0x2222});
  encode_slab_journal_header(header, block);
  const std::byte* p = block.data();
  EXPECT_EQ(load_le64(p), 3U);
  EXPECT_EQ(load_le64(p + 8), 0x123456789AU);
  EXPECT_EQ(load_le64(p + 16), 0x11112222U);
  EXPECT_EQ(load_le64(p + 24), 42U);
  EXPECT_EQ(load_le32(p + 32), 2U | 1U << 8U | 10U << 16U);
  EXPECT_EQ(load_le24(p + 36), 5U);
  EXPECT_EQ(load_le24(p + 36 + 27), 0x654321U | 0x800000U);
  EXPECT_EQ(load_u8(p + 3933), 0);
  EXPECT_EQ(load_u8(p + 3934), 2);
}

TEST(SlabJournalBlock, AnyBytesAreReadWithinTheBlock) {
  std::mt19937_64 random(test::kSeed);
  for (int i = 0; i < 2000; ++i) {
    Block block = test::random_block(random);
    block[32] = std::byte{2};
    block[33] = static_cast<std::byte>(random() % 2);
    store_le16(block.data() + 34, static_cast<std::uint16_t>(random() % 1500));
    const SlabJournalHeader header = decode_slab_journal_header(block);
    const unsigned fits = header.has_block_map_increments ? 1299 : 1353;
    EXPECT_EQ(counts(header, header.nonce), header.entry_count <= fits);
    if (!counts(header, header.nonce)) continue;
    for (unsigned n = 0; n < header.entry_count; ++n) {
      ASSERT_LE(slab_journal_entry(block, header, n).sbn, kMaxSbn);
    }
  }
}

TEST(ReferenceBlock, KeepsCountsAndCommitPoint) {
  std::mt19937_64 random(test::kSeed);
  for (const std::size_t n : {0U, 1U, 504U, 505U, 3934U, 4032U}) {
    std::vector<ReferenceCount> all(n);
    for (auto& count : all) count = static_cast<ReferenceCount>(random() % 255);
    Block block(kBlockSize, std::byte{0x33});
    pack_reference_block(block, all, {7, 9});
    std::vector<ReferenceCount> read(kCountsPerBlock, 1);
    for (const JournalPoint point : unpack_reference_block(block, read)) {
      EXPECT_EQ(point, (JournalPoint{7, 9}));
    }
    EXPECT_TRUE(std::equal(all.begin(), all.end(), read.begin()));
    EXPECT_EQ(std::count(read.begin() + static_cast<std::ptrdiff_t>(n), read.end(), kFree),
              static_cast<std::ptrdiff_t>(kCountsPerBlock - n));
    // Fewer counts may be read than the block has.
    std::vector<ReferenceCount> some(n / 2);
    unpack_reference_block(block, some);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
  }
}

TEST(ReferenceBlock, ReadsProvisionalCountsAsFreeAndSectorsByTheirOwnPoints) {
  std::vector<ReferenceCount> all(kCountsPerBlock, 255);
  all[503] = 254;
  all[504] = 3;
  Block block(kBlockSize);
  pack_reference_block(block, all, {1, 1});
  EXPECT_EQ(load_u8(block.data() + 8), 255) << "written as it is";
  EXPECT_EQ(load_u8(block.data() + 511), 254);
  EXPECT_EQ(load_u8(block.data() + 520), 3);
  store_le64(block.data() + 512, JournalPoint{8, 4}.packed());
  const CommitPoints points = unpack_reference_block(block, all);
  EXPECT_EQ(points[0], (JournalPoint{1, 1}));
  EXPECT_EQ(points[1], (JournalPoint{8, 4}));
  EXPECT_EQ(all[0], kFree);
  EXPECT_EQ(all[503], 254);
  EXPECT_EQ(all[504], 3);
}

TEST(SlabSummary, EveryWordDecodesAndEncodesAgain) {
  for (std::uint32_t word = 0; word <= 0xFFFF; ++word) {
    const auto value = static_cast<std::uint16_t>(word);
    EXPECT_EQ(encode_slab_summary_entry(decode_slab_summary_entry(value)), value);
  }
}

TEST(SlabSummary, EntriesOfAllZonesAndSlabsHaveTheirOwnPlace) {
  std::vector<bool> taken(64 * kBlockSize);
  for (unsigned zone = 0; zone < kSummaryZones; ++zone) {
    for (SlabNumber slab = 0; slab < 8192; ++slab) {
      const std::size_t at = summary_block(zone, slab) * kBlockSize + summary_byte(slab);
      ASSERT_LT(at, taken.size());
      ASSERT_FALSE(taken[at]);
      taken[at] = true;
    }
  }
  EXPECT_EQ(summary_zone(17, 0), 0U);
  EXPECT_EQ(summary_zone(17, 1), 0U);
  EXPECT_EQ(summary_zone(17, 16), 1U);
}

TEST(SlabSummary, HintsAreTheTopBitsOfTheFreeBlocks) {
  EXPECT_EQ(fullness_hint(0, 13), 0);
  EXPECT_EQ(fullness_hint(1, 13), 1);
  EXPECT_EQ(fullness_hint(255, 13), 1);
  EXPECT_EQ(fullness_hint(256, 13), 2);
  EXPECT_EQ(fullness_hint(7966, 13), 62);
  EXPECT_EQ(fullness_hint(1823, 11), 56);
  EXPECT_EQ(fullness_hint(~0ULL, 13), 63);
  EXPECT_EQ(fullness_hint(5, 4), 5);
  for (std::uint64_t free = 0; free < 8192; ++free) {
    ASSERT_LE(free_blocks_of_hint(fullness_hint(free, 13), 13), free);
  }
}

}  // namespace
}  // namespace uvdo
