// SPDX-License-Identifier: GPL-2.0-or-later
// What is told of blocks of a small volume in memory, right and damaged.
#include "inspect/explain_block.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "format/recovery_journal_block.h"
#include "inspect/test_volume.h"

namespace uvdo {
namespace {

class ExplainBlock : public testing::Test {
 protected:
  LbnExplanation of(Lbn lbn) {
    auto image = VolumeImage::open(volume_.store());
    check(image.ok(), "the volume can be opened");
    auto told = explain(**image, lbn);
    check(told.ok(), "the block is there");
    return std::move(*told);
  }
  PbnExplanation of(Pbn pbn) {
    auto image = VolumeImage::open(volume_.store());
    check(image.ok(), "the volume can be opened");
    auto told = explain(**image, pbn);
    check(told.ok(), "the block is there");
    return std::move(*told);
  }
  BlockRole role(Pbn pbn) { return of(pbn).place.role; }

  TestVolume volume_;
};

std::vector<std::uint64_t> lbns(const PbnExplanation& told) {
  std::vector<std::uint64_t> found;
  for (const auto& mapping : told.references->mappings) found.push_back(mapping.lbn.value());
  return found;
}

TEST_F(ExplainBlock, TheWayToABlockIsToldFromItsRoot) {
  const LbnExplanation told = of(Lbn{TestVolume::kPlain});
  ASSERT_EQ(told.way.size(), kTreeHeight);
  EXPECT_EQ(told.way.front().height, kRootHeight);
  EXPECT_EQ(told.way.back().page, volume_.leaf0);
  EXPECT_EQ(told.way.back().slot, TestVolume::kPlain);
  EXPECT_EQ(told.mapping, mapped_to(volume_.plain));
  EXPECT_EQ(told.name, record_name_of(volume_.block(volume_.plain).data()));
  EXPECT_FALSE(told.problem);
}

TEST_F(ExplainBlock, WhereNothingIsMappedTheWayEnds) {
  const LbnExplanation told = of(Lbn{TestVolume::kLogicalBlocks - 1});
  EXPECT_EQ(told.mapping, kUnmapped);
  EXPECT_LT(told.way.size(), kTreeHeight);
  EXPECT_FALSE(told.name);
  EXPECT_FALSE(told.problem);
}

TEST_F(ExplainBlock, ABlockOfZerosHasNoName) {
  const LbnExplanation told = of(Lbn{TestVolume::kZero});
  EXPECT_EQ(told.mapping, kMappedZero);
  EXPECT_FALSE(told.name);
}

TEST_F(ExplainBlock, BeyondTheEndThereIsNone) {
  auto image = VolumeImage::open(volume_.store());
  EXPECT_EQ(explain(**image, Lbn{TestVolume::kLogicalBlocks}).error().code(), Errc::out_of_range);
  EXPECT_EQ(explain(**image, Pbn{std::uint64_t{1} << 35U}).error().code(), Errc::out_of_range);
}

TEST_F(ExplainBlock, WhoSharesABlockIsFound) {
  const Pbn shared = of(Lbn{TestVolume::kShared}).mapping.pbn;
  const PbnExplanation told = of(shared);
  EXPECT_EQ(told.place.role, BlockRole::slab_data);
  EXPECT_EQ(told.count, 3);
  EXPECT_EQ(lbns(told), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_FALSE(told.references->page);
  EXPECT_TRUE(told.name);
}

TEST_F(ExplainBlock, FragmentsAreToldWithTheirNames) {
  const PbnExplanation told = of(volume_.compressed);
  ASSERT_EQ(told.fragments.size(), 2U);
  EXPECT_EQ(told.fragments[0].name, of(Lbn{TestVolume::kFragment}).name);
  EXPECT_EQ(told.fragments[1].name, of(Lbn{TestVolume::kFragment + 1}).name);
  EXPECT_GT(told.fragments[0].size, 0U);
  EXPECT_FALSE(told.name) << "it holds no block as it is";
}

TEST_F(ExplainBlock, ADamagedFragmentIsTold) {
  const MutableBytes block = volume_.block(volume_.compressed);
  std::fill_n(block.begin() + kCompressedHeaderSize, 16, std::byte{0xFF});
  const PbnExplanation told = of(volume_.compressed);
  ASSERT_EQ(told.fragments.size(), 2U);
  EXPECT_TRUE(told.fragments[0].problem);
  EXPECT_TRUE(of(Lbn{TestVolume::kFragment}).problem);
}

TEST_F(ExplainBlock, APageOfTheMapIsRecognised) {
  const PbnExplanation told = of(volume_.leaf0);
  ASSERT_TRUE(told.references->page);
  EXPECT_EQ(told.references->page->root, 0U);
  EXPECT_EQ(told.references->page->height, 0U);
  EXPECT_EQ(told.count, 254);
  EXPECT_TRUE(told.references->mappings.empty());
}

TEST_F(ExplainBlock, WhatDamageMayHideIsCounted) {
  store_le64(volume_.block(volume_.leaf0).data() + kPagePbnOffset, 7);
  EXPECT_EQ(of(volume_.plain).references->damaged_places, 1U);
  const LbnExplanation told = of(Lbn{TestVolume::kPlain});
  EXPECT_TRUE(told.problem);
  EXPECT_EQ(told.way.size(), kTreeHeight - 1) << "the pages before the damaged one";
}

TEST_F(ExplainBlock, EachPartOfTheDeviceHasItsRole) {
  const SuperBlock& super = volume_.layout().super_block;
  const VolumeGeometry& geometry = volume_.layout().geometry;
  const SlabLayout slabs(super.depot);
  EXPECT_EQ(role(Pbn{0}), BlockRole::geometry);
  EXPECT_EQ(role(geometry.data_start), BlockRole::super_block);
  EXPECT_EQ(role(super.block_map.root_origin), BlockRole::block_map_root);
  EXPECT_EQ(role(super.find(PartitionId::recovery_journal).start), BlockRole::recovery_journal);
  EXPECT_EQ(role(super.find(PartitionId::slab_summary).start), BlockRole::slab_summary);
  EXPECT_EQ(role(slabs.reference_block(1, 0)), BlockRole::slab_reference_counts);
  const PbnExplanation journal = of(slabs.journal_block_at(1, 2));
  EXPECT_EQ(journal.place.role, BlockRole::slab_journal);
  EXPECT_EQ(journal.place.index, 2U);
  EXPECT_EQ(journal.place.slab, 1U);
}

TEST_F(ExplainBlock, EntriesOfTheJournalAboutABlockAreFoundByBothOfItsNumbers) {
  const SuperBlock& super = volume_.layout().super_block;
  // An entry that the map has already: the volume was shut down after it.
  const JournalSequence sequence{1};
  const std::uint64_t size = super.config.journal_size;
  const Pbn place = super.find(PartitionId::recovery_journal).start + sequence.value() % size;
  const MutableBytes block = volume_.block(place);
  JournalBlockHeader header;
  header.sequence = sequence;
  header.nonce = super.nonce;
  header.check_byte = check_byte_of(sequence, size);
  header.recovery_count = super.recovery_count();
  open_journal_block(block, header);
  const JournalEntry entry{JournalOperation::data_remapping, volume_.leaf0,
                           static_cast<std::uint16_t>(TestVolume::kPlain), mapped_to(volume_.plain),
                           kUnmapped};
  append_journal_entry(block, 0, entry, header.check_byte, header.recovery_count);
  set_journal_header_heads_and_count(block, sequence, sequence, 1);

  const LbnExplanation lbn = of(Lbn{TestVolume::kPlain});
  ASSERT_EQ(lbn.journal.entries.size(), 1U);
  EXPECT_EQ(lbn.journal.entries[0].entry, entry);
  EXPECT_TRUE(of(Lbn{TestVolume::kShared}).journal.entries.empty());
  EXPECT_EQ(of(volume_.plain).journal->entries.size(), 1U);
  EXPECT_EQ(of(volume_.leaf0).journal->entries.size(), 1U) << "the page that it changes";
  EXPECT_TRUE(of(volume_.compressed).journal->entries.empty());
}

}  // namespace
}  // namespace uvdo
