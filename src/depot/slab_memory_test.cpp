// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab_memory.h"

#include <gtest/gtest.h>

namespace uvdo {
namespace {

TEST(SlabMemory, HasTablesOfTheirOwnForEachSlab) {
  const SlabConfig config = *make_slab_config(8192);
  const SlabMemory memory(config, 2);
  const SlabTables one = memory.tables(0);
  const SlabTables other = memory.tables(1);
  EXPECT_EQ(one.counts.size(), config.data_blocks);
  EXPECT_EQ(one.references.size(), reference_blocks_used(config.data_blocks));
  EXPECT_EQ(one.holds.size(), config.slab_journal_blocks);
  const auto begin = [](const auto& table) {
    return reinterpret_cast<std::uintptr_t>(table.data());
  };
  const auto end = [&](const auto& table) { return begin(table) + table.size_bytes(); };
  EXPECT_LE(end(one.counts), begin(one.references));
  EXPECT_LE(end(one.references), begin(one.holds));
  EXPECT_LE(end(one.holds), begin(one.freed));
  EXPECT_LE(end(one.freed), begin(other.counts));
  EXPECT_GE(one.freed.size() * 64 * kFreedAreaBlocks, config.data_blocks);
  EXPECT_EQ(begin(other.counts) - begin(one.counts), SlabMemory::bytes_of_slab(config));
}

}  // namespace
}  // namespace uvdo
