// SPDX-License-Identifier: GPL-2.0-or-later
#include "format/journal_limits.h"

#include <gtest/gtest.h>

#include "format/volume_layout.h"

namespace uvdo {
namespace {

TEST(JournalLimits, OnlyPagesOfTheMapAreChanged) {
  FormatRequest request;
  request.device_bytes = std::uint64_t{8} << 30U;
  request.slab_bits = 15;
  const auto layout = make_volume_layout(request);
  ASSERT_TRUE(layout.ok());
  const SuperBlock& super = layout->super_block;
  const SlabLayout slabs(super.depot);
  const Pbn root = super.block_map.root_origin;
  JournalEntry leaf{JournalOperation::data_remapping, super.depot.first_block, 3, kUnmapped,
                    kUnmapped};
  JournalEntry tree{JournalOperation::block_map_remapping, super.depot.first_block, 3,
                    mapped_to(super.depot.first_block + 1), kUnmapped};
  EXPECT_TRUE(is_applicable(leaf, super, slabs));
  EXPECT_TRUE(is_applicable(tree, super, slabs));
  tree.page_pbn = root;
  EXPECT_TRUE(is_applicable(tree, super, slabs));
  leaf.page_pbn = root;
  EXPECT_FALSE(is_applicable(leaf, super, slabs));
  // The geometry block, the index, the super block, what is not data in a slab, the rings.
  for (const Pbn no_page :
       {Pbn{0}, Pbn{5}, layout->geometry.data_start, slabs.reference_block(0, 0),
        slabs.journal_block_at(0, 0), super.find(PartitionId::recovery_journal).start,
        super.find(PartitionId::slab_summary).start}) {
    leaf.page_pbn = tree.page_pbn = no_page;
    EXPECT_FALSE(is_applicable(leaf, super, slabs)) << no_page.value();
    EXPECT_FALSE(is_applicable(tree, super, slabs)) << no_page.value();
    EXPECT_FALSE(is_applicable(
        OldJournalEntry{OldJournalOperation::data_increment, no_page, 3, kUnmapped}, super, slabs))
        << no_page.value();
  }
}

}  // namespace
}  // namespace uvdo
