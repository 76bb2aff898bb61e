// SPDX-License-Identifier: GPL-2.0-or-later
// New and growing volumes: the same bytes as vdoformat, the same places as the kernel.
#include "format/volume_layout.h"

#include <gtest/gtest.h>

#include "format/test_fixture.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30;

struct Made {
  const char* volume;
  unsigned slab_bits;
  IndexMemory memory;
  bool sparse;
  std::uint64_t logical_kib;
};

TEST(VolumeLayout, IsByteForByteThatOfVdoformat) {
  constexpr Made kMade[] = {
      {"fresh-slab13", 13, kQuarterGigabyte, false, 65536},
      {"fresh-memory05", 13, kHalfGigabyte, false, 65536},
      {"fresh-slab19-logical1T", 19, kQuarterGigabyte, false, 1073741824},
      {"fresh-slab9", 9, kQuarterGigabyte, false, 4000},
      {"fresh-sparse", 13, kQuarterGigabyte, true, 65536},
  };
  for (const Made& made : kMade) {
    SCOPED_TRACE(made.volume);
    const auto blocks = test::load_fixture(made.volume);
    ASSERT_GE(blocks.size(), 2U);
    const VolumeGeometry geometry = decode_volume_geometry(blocks[0].bytes).value();
    FormatRequest request;
    request.device_bytes = blocks[1].number("physical") * kBlockSize + 4095;
    request.slab_bits = made.slab_bits;
    request.small_slabs = made.slab_bits < kMinSlabBits;
    request.index_memory = made.memory;
    request.sparse = made.sparse;
    request.logical_bytes = made.logical_kib * 1024;
    request.nonce = geometry.nonce;
    request.uuid = geometry.uuid;
    const VolumeLayout layout = make_volume_layout(request).value();
    test::Block block(kBlockSize);
    encode_volume_geometry(layout.geometry, block);
    EXPECT_EQ(block, blocks[0].bytes);
    encode_super_block(layout.super_block, block);
    EXPECT_EQ(block, blocks[1].bytes);
  }
}

TEST(VolumeLayout, IsThatOfTheWorkedExample) {
  FormatRequest request;
  request.device_bytes = 6 * kGiB;
  request.slab_bits = 13;
  const VolumeLayout layout = make_volume_layout(request).value();
  EXPECT_EQ(layout.geometry.data_start, Pbn{679128});
  const SuperBlock& s = layout.super_block;
  EXPECT_EQ(s.state, VolumeState::new_volume);
  EXPECT_EQ(s.config.physical_blocks, 1572864U);
  EXPECT_EQ(s.config.logical_blocks, 835220U);
  EXPECT_EQ(s.find(PartitionId::block_map), (Partition{PartitionId::block_map, Pbn{679129}, 60}));
  EXPECT_EQ(s.find(PartitionId::slab_depot),
            (Partition{PartitionId::slab_depot, Pbn{679189}, 860843}));
  EXPECT_EQ(s.find(PartitionId::recovery_journal),
            (Partition{PartitionId::recovery_journal, Pbn{1540032}, 32768}));
  EXPECT_EQ(s.find(PartitionId::slab_summary),
            (Partition{PartitionId::slab_summary, Pbn{1572800}, 64}));
  EXPECT_EQ(s.depot.slab_count(), 105U);
  EXPECT_EQ(s.depot.last_block, Pbn{1539349});
  EXPECT_EQ(s.journal.journal_start, JournalSequence{1});
}

TEST(VolumeLayout, NeedsExactlyTheMinimumAndSaysHowMuch) {
  const std::uint64_t least = minimum_physical_blocks(13, kQuarterGigabyte, false).value();
  EXPECT_EQ(least, 679127U + 32894 + 8192);
  FormatRequest request;
  request.slab_bits = 13;
  request.device_bytes = least * kBlockSize;
  EXPECT_EQ(make_volume_layout(request).value().super_block.depot.slab_count(), 1U);
  request.device_bytes -= 1;
  const auto small = make_volume_layout(request);
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().code(), Errc::no_space);
  EXPECT_NE(small.error().message().find(std::to_string(least * kBlockSize)), std::string::npos)
      << small.error().message();
}

TEST(VolumeLayout, RefusesParametersOutOfTheirLimits) {
  FormatRequest good;
  good.device_bytes = 100 * kGiB;
  ASSERT_TRUE(make_volume_layout(good).ok());
  const auto refuses = [&](auto change) {
    FormatRequest bad = good;
    change(bad);
    return !make_volume_layout(bad).ok();
  };
  EXPECT_TRUE(refuses([](auto& r) { r.slab_bits = 12; }));
  EXPECT_TRUE(refuses([](auto& r) { r.slab_bits = 24; }));
  EXPECT_TRUE(refuses([](auto& r) { r.slab_bits = 7, r.small_slabs = true; }));
  EXPECT_TRUE(refuses([](auto& r) { r.index_memory.value = 0; }));
  EXPECT_TRUE(refuses([](auto& r) { r.logical_bytes = 0; }));
  EXPECT_TRUE(refuses([](auto& r) { r.logical_bytes = 4095; }));
  EXPECT_TRUE(refuses([](auto& r) { r.logical_bytes = (1ULL << 52) + 4096; }));
  EXPECT_FALSE(refuses([](auto& r) { r.logical_bytes = 1ULL << 52; }));
  EXPECT_TRUE(refuses([](auto& r) { r.device_bytes = 0; }));
  EXPECT_TRUE(refuses([](auto& r) { r.device_bytes = ~0ULL; }));
  EXPECT_TRUE(refuses([](auto& r) { r.device_bytes = (1ULL << 48) + 4096, r.slab_bits = 23; }));
  EXPECT_TRUE(refuses([](auto& r) { r.slab_bits = 13, r.device_bytes = 300 * kGiB; }))
      << "more than 8192 slabs";
}

TEST(Growth, PutsThePartitionsWhereTheKernelDid) {
  const auto blocks = test::load_fixture("grown");
  ASSERT_GE(blocks.size(), 2U);
  const VolumeGeometry geometry = decode_volume_geometry(blocks[0].bytes).value();
  const SuperBlock after = decode_super_block(blocks[1].bytes, geometry).value();
  FormatRequest request;
  request.device_bytes = 716117 * kBlockSize;
  request.slab_bits = 11;
  request.small_slabs = true;
  request.logical_bytes = 8192 * kBlockSize;
  request.nonce = geometry.nonce;
  const SuperBlock before = make_volume_layout(request).value().super_block;
  SuperBlock grown = grown_layout(geometry, before, 756117).value();
  grown = grown_logical(grown, 50000).value();
  EXPECT_TRUE(validate_super_block(grown, geometry).ok());
  EXPECT_EQ(grown.config, after.config);
  for (const Partition& partition : after.layout.partitions) {
    EXPECT_EQ(grown.find(partition.id), partition);
  }
  EXPECT_EQ(grown.layout.first_free, after.layout.first_free);
  EXPECT_EQ(grown.layout.last_free, after.layout.last_free);
  EXPECT_EQ(grown.depot.first_block, after.depot.first_block);
  EXPECT_EQ(grown.depot.last_block, after.depot.last_block);
  EXPECT_EQ(grown.block_map, after.block_map);
}

TEST(Growth, RefusesTooLittleTooMuchAndShrinking) {
  FormatRequest request;
  request.device_bytes = 6 * kGiB;
  request.slab_bits = 13;
  const VolumeLayout layout = make_volume_layout(request).value();
  const std::uint64_t size = layout.super_block.config.physical_blocks;
  const auto grow = [&](std::uint64_t blocks) {
    return grown_layout(layout.geometry, layout.super_block, blocks);
  };
  EXPECT_FALSE(grow(size - 1).ok());
  EXPECT_FALSE(grow(size).ok());
  EXPECT_FALSE(grow(size + 32831).ok());
  EXPECT_TRUE(grow(size + 32832).ok());
  EXPECT_FALSE(grow((1ULL << 36) + 1).ok());
  EXPECT_FALSE(grow(~0ULL).ok());
  const std::uint64_t most = 679189 + 8192 * 8192 + 8191 + 32832;
  EXPECT_TRUE(grow(most).ok());
  EXPECT_FALSE(grow(most + 1).ok()) << "8193 slabs";
  EXPECT_EQ(largest_physical_blocks(layout.super_block), most);
  const std::uint64_t logical = layout.super_block.config.logical_blocks;
  EXPECT_FALSE(grown_logical(layout.super_block, logical - 1).ok());
  EXPECT_TRUE(grown_logical(layout.super_block, 1ULL << 40).ok());
  EXPECT_FALSE(grown_logical(layout.super_block, (1ULL << 40) + 1).ok());
}

TEST(Shortening, GivesUpWhatBelongsToNoSlab) {
  FormatRequest request;
  request.device_bytes = 6 * kGiB;
  request.slab_bits = 13;
  const VolumeLayout layout = make_volume_layout(request).value();
  const SuperBlock& before = layout.super_block;
  const std::uint64_t unused = before.find(PartitionId::slab_depot).end() - before.depot.last_block;
  ASSERT_GT(unused, 2U);
  EXPECT_FALSE(shortened_layout(layout.geometry, before, unused + 1).ok());
  for (const std::uint64_t blocks : {std::uint64_t{1}, unused}) {
    const auto shorter = shortened_layout(layout.geometry, before, blocks);
    ASSERT_TRUE(shorter.ok());
    EXPECT_TRUE(validate_super_block(*shorter, layout.geometry).ok());
    EXPECT_EQ(shorter->config.physical_blocks, before.config.physical_blocks - blocks);
    EXPECT_EQ(shorter->depot, before.depot);
    for (const PartitionId id : {PartitionId::recovery_journal, PartitionId::slab_summary}) {
      EXPECT_EQ(shorter->find(id).start + blocks, before.find(id).start);
    }
  }
}

TEST(Growth, ByOneSlabNeedsRoomForAllOfIt) {
  // Slabs larger than the journal: being behind the old volume is not enough.
  FormatRequest request;
  request.slab_bits = 17;
  request.device_bytes = minimum_physical_blocks(17, kQuarterGigabyte, false).value() * kBlockSize;
  const VolumeLayout layout = make_volume_layout(request).value();
  const std::uint64_t size = layout.super_block.config.physical_blocks;
  EXPECT_FALSE(grown_layout(layout.geometry, layout.super_block, size + (1U << 17U) - 1).ok());
  const auto grown = grown_layout(layout.geometry, layout.super_block, size + (1U << 17U));
  ASSERT_TRUE(grown.ok());
  EXPECT_EQ(grown->depot.slab_count(), 2U);
}

}  // namespace
}  // namespace uvdo
