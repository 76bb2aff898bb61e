// SPDX-License-Identifier: GPL-2.0-or-later
// Mappings and pages of the block map: their bits, and what a page that was read is worth.
#include "format/block_map_page.h"

#include <gtest/gtest.h>

#include "format/slab_layout.h"
#include "format/test_fixture.h"

namespace uvdo {
namespace {

TEST(BlockMapping, HasTheDocumentedBits) {
  std::array<std::byte, 5> bytes{};
  encode_block_mapping({Pbn{0xA12345678}, 3}, bytes.data());
  EXPECT_EQ(load_u8(bytes.data()), 0xA3);
  EXPECT_EQ(load_le32(bytes.data() + 1), 0x12345678U);
}

TEST(BlockMapping, AllBytesDecodeAndEncodeAgain) {
  std::mt19937_64 random(test::kSeed);
  for (int i = 0; i < 10000; ++i) {
    std::array<std::byte, 5> bytes{};
    test::fill_random(bytes, random);
    std::array<std::byte, 5> again{};
    encode_block_mapping(decode_block_mapping(bytes.data()), again.data());
    EXPECT_EQ(again, bytes);
  }
}

TEST(BlockMapping, IsValidWhenStateAndPbnFit) {
  EXPECT_TRUE(kUnmapped.valid());
  EXPECT_TRUE(kMappedZero.valid());
  EXPECT_TRUE(mapped_to(Pbn{5}).valid());
  EXPECT_TRUE(mapped_to_fragment(Pbn{5}, 13).valid());
  EXPECT_FALSE((BlockMapping{Pbn{5}, 0}).valid());
  EXPECT_FALSE((BlockMapping{Pbn{0}, 2}).valid());
  EXPECT_FALSE((BlockMapping{Pbn{5}, 16}).valid());
  EXPECT_FALSE((BlockMapping{Pbn{1ULL << 36}, 1}).valid());
  EXPECT_FALSE(kUnmapped.is_mapped());
  EXPECT_TRUE(kMappedZero.is_mapped());
  EXPECT_TRUE(kMappedZero.is_zero());
  EXPECT_EQ(mapped_to_fragment(Pbn{5}, 13).slot(), 13U);
}

TEST(SlabLayout, KnowsDataBlocksAndPlaces) {
  SlabDepotState depot;
  depot.slab = make_slab_config(8192).value();
  depot.first_block = Pbn{1000};
  depot.last_block = Pbn{1000 + 3 * 8192};
  const SlabLayout slabs(depot);
  EXPECT_EQ(slabs.slab_count(), 3U);
  EXPECT_FALSE(slabs.is_data_block(Pbn{999}));
  EXPECT_TRUE(slabs.is_data_block(Pbn{1000}));
  EXPECT_TRUE(slabs.is_data_block(Pbn{1000 + 7965}));
  EXPECT_FALSE(slabs.is_data_block(Pbn{1000 + 7966}));
  EXPECT_FALSE(slabs.is_data_block(Pbn{1000 + 8191}));
  EXPECT_TRUE(slabs.is_data_block(Pbn{1000 + 8192}));
  EXPECT_FALSE(slabs.is_data_block(depot.last_block));
  EXPECT_FALSE(slabs.is_data_block(Pbn{~0ULL}));
  EXPECT_EQ(slabs.slab_of(Pbn{1000 + 2 * 8192 + 7}), 2U);
  EXPECT_EQ(slabs.sbn_of(Pbn{1000 + 2 * 8192 + 7}), 7U);
  EXPECT_EQ(slabs.pbn_of(2, 7), Pbn{1000 + 2 * 8192 + 7});
  EXPECT_EQ(slabs.reference_block(1, 1), Pbn{1000 + 8192 + 7966 + 1});
  EXPECT_EQ(slabs.journal_block(1, SlabSequence{225}), Pbn{1000 + 8192 + 7966 + 2 + 1});
  EXPECT_TRUE(slabs.is_valid(kMappedZero));
  EXPECT_FALSE(slabs.is_valid(mapped_to(Pbn{999})));
}

TEST(BlockMapPage, StartsUninitializedAndEmpty) {
  test::Block page(kBlockSize, std::byte{0x55});
  format_page(page, 7, Pbn{123});
  EXPECT_EQ(page_status(page, 7, Pbn{123}), PageStatus::invalid);
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) EXPECT_EQ(entry(page, slot), kUnmapped);
  set_initialized(page);
  EXPECT_EQ(page_status(page, 7, Pbn{123}), PageStatus::valid);
}

TEST(BlockMapPage, IsInvalidOrBadWhenItsHeaderSaysSo) {
  test::Block page(kBlockSize);
  format_page(page, 7, Pbn{123});
  set_initialized(page);
  EXPECT_EQ(page_status(page, 8, Pbn{123}), PageStatus::invalid) << "another volume's";
  EXPECT_EQ(page_status(page, 7, Pbn{124}), PageStatus::bad) << "another place's";
  for (const std::size_t at : {0U, 4U}) {
    test::Block other = page;
    other[at] ^= std::byte{1};
    EXPECT_EQ(page_status(other, 7, Pbn{123}), PageStatus::invalid) << "another version";
  }
  page[32] = std::byte{2};
  EXPECT_EQ(page_status(page, 7, Pbn{123}), PageStatus::valid) << "any value but 0";
}

TEST(BlockMapPage, EntriesDoNotTouchTheirNeighbours) {
  test::Block page(kBlockSize, std::byte{0x55});
  format_page(page, 7, Pbn{123});
  std::mt19937_64 random(test::kSeed);
  std::vector<BlockMapping> model(kEntriesPerPage);
  for (int i = 0; i < 5000; ++i) {
    const unsigned slot = static_cast<unsigned>(random() % kEntriesPerPage);
    model[slot] = {Pbn{random() >> 28U}, static_cast<std::uint8_t>(random() % 16)};
    set_entry(page, slot, model[slot]);
  }
  for (unsigned slot = 0; slot < kEntriesPerPage; ++slot) EXPECT_EQ(entry(page, slot), model[slot]);
  EXPECT_EQ(load_le64(page.data() + kPagePbnOffset), 123U);
}

}  // namespace
}  // namespace uvdo
