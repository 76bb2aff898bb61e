// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/index_layout.h"

#include <set>

#include <gtest/gtest.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kStart = 8;
constexpr std::uint64_t kUser = 77;

class IndexLayoutTest : public ::testing::Test {
 protected:
  IndexLayoutTest() : block(kBlockSize) {
    NonceInformation information{};
    information[3] = std::byte{9};
    layout = new_index_layout(geometry, kStart, information);
  }
  Result<IndexLayout> decode() {
    return decode_index_super_block(block, geometry, kStart, geometry.region_blocks);
  }
  [[nodiscard]] IndexSave a_save(std::uint32_t slot) const {
    IndexSave save = divide_save_area(layout, geometry, slot, 2);
    save.timestamp_ms = 1000;
    save.newest = 5;
    save.oldest = 2;
    return save;
  }

  const IndexGeometry geometry = index_geometry_of(2, 16, 0);
  IndexLayout layout;
  std::vector<std::byte> block;
};

TEST_F(IndexLayoutTest, ThePartsFollowEachOtherAndFillTheRegion) {
  EXPECT_EQ(layout.header_block, kStart);
  EXPECT_EQ(layout.config_block(), kStart + 1);
  EXPECT_EQ(layout.volume_block, kStart + 2);
  EXPECT_EQ(layout.save_block[0], layout.volume_block + geometry.volume_blocks);
  EXPECT_EQ(layout.save_block[1], layout.save_block[0] + layout.save_blocks);
  constexpr std::uint64_t kSeal = 1;
  EXPECT_EQ(layout.save_block[1] + layout.save_blocks + kSeal, kStart + geometry.region_blocks);
}

TEST_F(IndexLayoutTest, TheSuperBlockGivesBackTheLayout) {
  encode_index_super_block(layout, geometry, block);
  auto found = decode();
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->nonce_information, layout.nonce_information);
  EXPECT_EQ(found->volume_nonce, layout.volume_nonce);
  EXPECT_EQ(found->volume_block, layout.volume_block);
  EXPECT_EQ(found->save_block, layout.save_block);
  EXPECT_EQ(found->save_blocks, layout.save_blocks);
}

TEST_F(IndexLayoutTest, WhatIsNoIndexAndWhatIsAStrangeOneAreToldApart) {
  EXPECT_EQ(decode().error().code(), Errc::not_found);
  encode_index_super_block(layout, geometry, block);
  // One may be made anew in its place; the other is left alone.
  const auto sound = block;
  block[0] ^= std::byte{1};
  EXPECT_EQ(decode().error().code(), Errc::not_found);
  block = sound;
  constexpr std::size_t kTableVersionAt = 18;
  block[kTableVersionAt] = std::byte{99};
  EXPECT_EQ(decode().error().code(), Errc::unsupported);
}

TEST_F(IndexLayoutTest, OneThatWasMovedOrDoesNotFitIsDamaged) {
  encode_index_super_block(layout, geometry, block);
  auto moved = decode_index_super_block(block, geometry, kStart + 1, geometry.region_blocks);
  EXPECT_EQ(moved.error().code(), Errc::corrupt);
  auto cut_off = decode_index_super_block(block, geometry, kStart, geometry.region_blocks - 2);
  EXPECT_EQ(cut_off.error().code(), Errc::corrupt);
  auto larger = decode_index_super_block(block, index_geometry_of(2, 32, 0), kStart,
                                         2 * geometry.region_blocks);
  EXPECT_EQ(larger.error().code(), Errc::corrupt);
  // The start of any of its regions, whose table begins at byte 24.
  for (std::size_t region = 0; region < 7; ++region) {
    encode_index_super_block(layout, geometry, block);
    block[24 + 24 * region] ^= std::byte{1};
    EXPECT_FALSE(decode().ok()) << region;
  }
}

TEST_F(IndexLayoutTest, TheConfigurationIsThatOfOneSizeAndOneVolume) {
  encode_index_config(layout, geometry, kUser, block);
  EXPECT_TRUE(decode_index_config(block, geometry, kUser, layout).ok());
  EXPECT_EQ(decode_index_config(block, geometry, kUser + 1, layout).error().code(), Errc::corrupt);
  EXPECT_FALSE(decode_index_config(block, index_geometry_of(2, 32, 0), kUser, layout).ok());
  EXPECT_FALSE(decode_index_config(block, index_geometry_of(2, 16, 8), kUser, layout).ok());
  EXPECT_EQ(layout.remapped_physical, 0U);
}

TEST_F(IndexLayoutTest, ASaveCountsInItsAreaOfItsIndexOnly) {
  const IndexSave save = a_save(1);
  encode_save_header(layout, save, 1, block);
  auto found = decode_save_header(block, layout, 1);
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->newest, save.newest);
  EXPECT_EQ(found->oldest, save.oldest);
  EXPECT_EQ(found->page_map.start, save.page_map.start);
  EXPECT_EQ(found->zones.size(), 2U);
  EXPECT_EQ(found->zones[1].start, save.zones[1].start);
  EXPECT_EQ(found->open_chapter.start, save.open_chapter.start);

  EXPECT_EQ(decode_save_header(block, layout, 0).error().code(), Errc::corrupt);
  IndexLayout other = layout;
  ++other.volume_nonce;
  EXPECT_EQ(decode_save_header(block, other, 1).error().code(), Errc::corrupt);
  encode_empty_save_header(layout, geometry, 1, block);
  EXPECT_EQ(decode_save_header(block, layout, 1).error().code(), Errc::corrupt);
}

TEST_F(IndexLayoutTest, TheZonesOfASaveLieBetweenPageMapAndOpenChapter) {
  for (const std::uint32_t zones : {1U, 3U, 16U}) {
    const IndexSave save = divide_save_area(layout, geometry, 0, zones);
    std::uint64_t at = layout.save_block[0] + 1;
    EXPECT_EQ(save.page_map.start, at);
    at += save.page_map.blocks;
    for (const IndexRegion& zone : save.zones) {
      EXPECT_EQ(zone.start, at);
      EXPECT_GT(zone.blocks, 0U);
      at += zone.blocks;
    }
    EXPECT_EQ(save.open_chapter.start, at);
    EXPECT_LE(at + save.open_chapter.blocks, layout.save_block[0] + layout.save_blocks);
  }
}

/// Chapters come and go as the format says, and no two that live have one slot.
void expect_slots_of_their_own(const IndexGeometry& geometry, const IndexLayout& layout,
                               std::uint64_t oldest, std::uint64_t newest) {
  for (const std::uint64_t last = newest + 5 * geometry.chapters; newest < last;) {
    std::set<std::uint64_t> slots;
    for (std::uint64_t chapter = oldest; chapter <= newest; ++chapter) {
      const std::uint64_t slot = physical_chapter(geometry, layout, chapter);
      EXPECT_LT(slot, geometry.chapters);
      EXPECT_TRUE(slots.insert(slot).second) << "chapter " << chapter << " at " << newest;
    }
    EXPECT_GE(slots.size() + 1, std::min(newest + 1, geometry.chapters)) << "few are given up";
    ++newest;
    oldest += chapters_to_expire(geometry, layout, newest);
  }
}

TEST_F(IndexLayoutTest, LivingChaptersHaveSlotsOfTheirOwn) {
  expect_slots_of_their_own(geometry, layout, 0, 0);
}

TEST_F(IndexLayoutTest, LivingChaptersOfAReducedIndexToo) {
  const IndexGeometry reduced = index_geometry_of(2, 15, 0);
  expect_slots_of_their_own(reduced, layout, 0, 0);
  for (const std::uint64_t physical : {1U, 7U, 14U}) {
    layout.remapped_virtual = 32;  // the oldest when it was reduced
    layout.remapped_physical = physical;
    expect_slots_of_their_own(reduced, layout, 32, 32 + reduced.chapters - 1);
  }
}

}  // namespace
}  // namespace uvdo
