// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic of trees and slabs, against the worked numbers of the format and by counting.
#include "format/block_map_tree.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

#include "format/slab_config.h"
#include "format/test_fixture.h"

namespace uvdo {
namespace {

static_assert(tree_path(Lbn{0}) == TreePath{0, {0, 0, 0, 0, 0}});
static_assert(tree_path(Lbn{811}) == TreePath{0, {811, 0, 0, 0, 0}});
static_assert(tree_path(Lbn{812}) == TreePath{1, {0, 0, 0, 0, 0}});
static_assert(tree_path(Lbn{812 * 60}) == TreePath{0, {0, 1, 0, 0, 0}});
static_assert(tree_path(Lbn{812 * 60 * 812}) == TreePath{0, {0, 0, 1, 0, 0}});
static_assert(tree_path(Lbn{812ULL * 60 * 812 * 812}) == TreePath{0, {0, 0, 0, 1, 0}});

TEST(TreePath, LeadsBackToTheBlock) {
  std::mt19937_64 random(test::kSeed);
  for (int i = 0; i < 10000; ++i) {
    const Lbn lbn{random() % (1ULL << 40)};
    const TreePath path = tree_path(lbn);
    std::uint64_t index = 0;
    for (unsigned height = kRootHeight; height >= 1; --height) {
      ASSERT_LT(path.slots[height], kEntriesPerPage);
      index = index * kEntriesPerPage + path.slots[height];
    }
    const PageNumber page = page_of(path.root, index);
    EXPECT_EQ(page, page_number(lbn));
    EXPECT_EQ(first_lbn(page) + path.slots[0], lbn);
    EXPECT_EQ(tree_path(page).root, path.root);
    EXPECT_EQ(tree_path(page).slots[0], 0);
  }
}

TEST(TreeSize, CountsThePagesThatTheBlocksNeed) {
  for (const std::uint64_t logical : {1ULL, 812ULL, 813ULL, 812ULL * 60 - 1, 812ULL * 60 + 1,
                                      812ULL * 812 * 60 + 5, 812ULL * 60 * 815 + 811}) {
    std::array<std::array<std::set<std::uint64_t>, kTreeHeight>, kBlockMapRoots> seen;
    for (std::uint64_t page = 0; page < leaf_count(logical); ++page) {
      std::uint64_t index = index_in_tree(PageNumber{page});
      for (unsigned height = 0; height < kRootHeight; ++height) {
        seen[root_of(PageNumber{page})][height].insert(index);
        index /= kEntriesPerPage;
      }
    }
    for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
      const TreeSize size = tree_size(logical, root);
      for (unsigned height = 0; height < kRootHeight; ++height) {
        EXPECT_EQ(size.pages[height], seen[root][height].size())
            << logical << " blocks, root " << root << ", height " << height;
      }
      EXPECT_EQ(size.pages[kRootHeight], 1U);
    }
  }
}

TEST(DefaultLogicalSize, IsThatOfTheWorkedExample) {
  EXPECT_EQ(interior_pages(836430), 180U);
  EXPECT_EQ(default_logical_blocks(836430), 835220U);
  EXPECT_EQ(default_logical_blocks(0), 0U);
  EXPECT_EQ(default_logical_blocks(180), 0U);
}

TEST(SlabConfig, IsThatOfTheFormat) {
  EXPECT_EQ(make_slab_config(8192).value(), (SlabConfig{8192, 7966, 2, 224, 168, 208, 222}));
  EXPECT_EQ(make_slab_config(32768).value(), (SlabConfig{32768, 32535, 9, 224, 168, 208, 222}));
  EXPECT_EQ(make_slab_config(524288).value(),
            (SlabConfig{524288, 523934, 130, 224, 168, 208, 222}));
  EXPECT_EQ(make_slab_config(512).value(), (SlabConfig{512, 256, 1, 224, 168, 208, 222}));
}

TEST(SlabConfig, RefusesWhatNoSlabCanBe) {
  EXPECT_FALSE(make_slab_config(0).ok());
  EXPECT_FALSE(make_slab_config(8193).ok());
  EXPECT_FALSE(make_slab_config(1ULL << 24).ok());
  EXPECT_FALSE(make_slab_config(128).ok()) << "the journal is larger";
  EXPECT_FALSE(make_slab_config(8192, 1).ok());
  EXPECT_FALSE(make_slab_config(256, 255).ok()) << "no data block";
  EXPECT_FALSE(make_slab_config(256, 256).ok()) << "no block but the journal's";
}

}  // namespace
}  // namespace uvdo
