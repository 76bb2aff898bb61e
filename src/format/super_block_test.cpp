// SPDX-License-Identifier: GPL-2.0-or-later
// What makes a geometry block or a super block unacceptable, and that no bytes can do worse.
#include "format/super_block.h"

#include <functional>

#include <gtest/gtest.h>

#include "base/crc32.h"
#include "format/test_fixture.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

using test::Block;

VolumeLayout sample() {
  FormatRequest request;
  request.device_bytes = 6ULL << 30;
  request.slab_bits = 13;
  request.nonce = 0x0123456789ABCDEF;
  return make_volume_layout(request).value();
}

/// The error for a super block after a change; empty if it is taken.
std::string error_after(const std::function<void(SuperBlock&)>& change) {
  VolumeLayout layout = sample();
  change(layout.super_block);
  Block block(kBlockSize);
  encode_super_block(layout.super_block, block);
  const auto decoded = decode_super_block(block, layout.geometry);
  if (!decoded) return decoded.error().message();
  EXPECT_EQ(*decoded, layout.super_block);
  return {};
}

/// The error for a super block after a change of its bytes under a right checksum.
std::string error_after_bytes(const std::function<void(Block&)>& change) {
  const VolumeLayout layout = sample();
  Block block(kBlockSize);
  encode_super_block(layout.super_block, block);
  change(block);
  store_le32(block.data() + 434, vdo_crc32(ConstBytes(block).first(434)));
  const auto decoded = decode_super_block(block, layout.geometry);
  return decoded ? std::string() : decoded.error().message();
}

TEST(SuperBlock, KeepsEveryField) {
  EXPECT_EQ(error_after([](SuperBlock&) {}), "");
  EXPECT_EQ(error_after([](SuperBlock& s) {
              s.unused = 77;
              s.state = VolumeState::rebuild_for_upgrade;
              s.complete_recoveries = 0x1122334455;
              s.read_only_recoveries = 9;
              s.config.logical_blocks = 1ULL << 40;
              s.journal = {JournalSequence{(1ULL << 48) - 1}, 1234567890123, 321};
              s.depot.zone_count = 16;
              std::swap(s.layout.partitions[0], s.layout.partitions[3]);
            }),
            "");
}

TEST(SuperBlock, RefusesWhatTheKernelRefuses) {
  const std::vector<std::pair<const char*, std::function<void(SuperBlock&)>>> cases{
      {"nonce", [](SuperBlock& s) { ++s.nonce; }},
      {"state", [](SuperBlock& s) { s.state = static_cast<VolumeState>(8); }},
      {"slabs have", [](SuperBlock& s) { s.config.slab_size = 8191; }},
      {"slabs have", [](SuperBlock& s) { s.config.slab_size = 0; }},
      {"slabs have", [](SuperBlock& s) { s.config.slab_size = 1U << 24U; }},
      {"slab journals", [](SuperBlock& s) { s.config.slab_journal_size = 1; }},
      {"slab journals", [](SuperBlock& s) { s.config.slab_journal_size = 8193; }},
      {"physical size", [](SuperBlock& s) { s.config.physical_blocks = 0; }},
      {"physical size", [](SuperBlock& s) { s.config.physical_blocks = (1ULL << 36) + 1; }},
      {"end at", [](SuperBlock& s) { ++s.config.physical_blocks; }},
      {"logical size", [](SuperBlock& s) { s.config.logical_blocks = 0; }},
      {"logical size", [](SuperBlock& s) { s.config.logical_blocks = (1ULL << 40) + 1; }},
      {"recovery journal has", [](SuperBlock& s) { s.config.journal_size = 32767; }},
      {"recovery journal has", [](SuperBlock& s) { s.config.journal_size = 0; }},
      {"recovery journal", [](SuperBlock& s) { s.config.journal_size = 16384; }},
      {"journal start",
       [](SuperBlock& s) { s.journal.journal_start = JournalSequence{kMaxSequence}; }},
      {"missing", [](SuperBlock& s) { s.layout.partitions[1] = s.layout.partitions[0]; }},
      {"missing", [](SuperBlock& s) { s.layout.partitions[2].id = static_cast<PartitionId>(9); }},
      {"partition", [](SuperBlock& s) { s.layout.partitions[0].blocks = ~0ULL; }},
      {"partition", [](SuperBlock& s) { s.layout.partitions[0].start += 1; }},
      {"partition",
       [](SuperBlock& s) {
         s.layout.partitions[0].blocks -= 1;
         s.layout.partitions[1].start = s.layout.partitions[1].start - 1;
         s.layout.partitions[1].blocks += 1;
       }},
      {"its slabs are of", [](SuperBlock& s) { s.depot.slab.slab_blocks = 4096; }},
      {"its slabs are of", [](SuperBlock& s) { s.depot.slab.slab_journal_blocks = 200; }},
      {"cannot hold", [](SuperBlock& s) { s.depot.slab.data_blocks = 0; }},
      {"cannot hold", [](SuperBlock& s) { ++s.depot.slab.data_blocks; }},
      {"cannot hold", [](SuperBlock& s) { s.depot.slab.data_blocks = ~0ULL; }},
      {"cannot hold", [](SuperBlock& s) { s.depot.slab.reference_count_blocks = ~0ULL; }},
      {"cannot hold", [](SuperBlock& s) { s.depot.slab.reference_count_blocks = 1; }},
      {"thresholds", [](SuperBlock& s) { s.depot.slab.blocking = 225; }},
      {"lie from", [](SuperBlock& s) { s.depot.first_block += 1; }},
      {"lie from", [](SuperBlock& s) { s.depot.last_block += 8192; }},
      {"zones", [](SuperBlock& s) { s.depot.zone_count = 17; }},
      {"roots", [](SuperBlock& s) { s.block_map.root_count = 59; }},
      {"roots", [](SuperBlock& s) { s.block_map.root_origin += 1; }},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_NE(error_after(cases[i].second).find(cases[i].first), std::string::npos)
        << "case " << i << " (" << cases[i].first << "): " << error_after(cases[i].second);
  }
}

TEST(SuperBlock, RefusesOtherVersionsAndFlatBlockMaps) {
  const std::vector<std::size_t> headers{0, 108, 245, 289, 382};
  for (const std::size_t at : headers) {
    for (const std::size_t field : {0U, 4U, 8U, 12U}) {
      EXPECT_NE(error_after_bytes([&](Block& b) { b[at + field] ^= std::byte{0x10}; }), "")
          << "header at " << at << " byte " << field;
    }
  }
  for (const std::size_t at : {24U, 28U, 32U, 36U, 144U, 402U, 410U}) {
    EXPECT_NE(error_after_bytes([&](Block& b) { b[at] ^= std::byte{0x10}; }), "") << at;
  }
  EXPECT_EQ(error_after_bytes([](Block& b) { b[20] ^= std::byte{0x10}; }), "") << "unused";
}

TEST(SuperBlock, EveryFlippedBitIsSeen) {
  const VolumeLayout layout = sample();
  Block block(kBlockSize);
  encode_super_block(layout.super_block, block);
  for (std::size_t bit = 0; bit < kSuperBlockSize * 8; ++bit) {
    block[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(decode_super_block(block, layout.geometry).ok()) << "bit " << bit;
    block[bit / 8] ^= std::byte{1} << bit % 8;
  }
  EXPECT_TRUE(decode_super_block(block, layout.geometry).ok());
}

TEST(SuperBlock, AnyFieldsUnderARightChecksumAreTakenOnlyIfTheyAreSafe) {
  std::mt19937_64 random(test::kSeed);
  const VolumeLayout layout = sample();
  for (int i = 0; i < 20000; ++i) {
    Block block(kBlockSize);
    encode_super_block(layout.super_block, block);
    for (std::uint64_t n = random() % 3 + 1; n > 0; --n) {
      block[random() % 434] = static_cast<std::byte>(random());
    }
    store_le32(block.data() + 434, vdo_crc32(ConstBytes(block).first(434)));
    const auto s = decode_super_block(block, layout.geometry);
    if (!s) continue;
    EXPECT_LE(s->depot.last_block.value(), s->config.physical_blocks);
    EXPECT_LE(s->depot.slab_count(), kMaxSlabs);
    EXPECT_LE(s->find(PartitionId::recovery_journal).end().value(), s->config.physical_blocks);
  }
}

TEST(VolumeGeometry, KeepsEveryFieldInBothVersions) {
  VolumeGeometry geometry = sample().geometry;
  geometry.unused = 5;
  geometry.sparse = true;
  geometry.index_memory.value = -1792;
  geometry.bio_offset = 100;
  geometry.index_start = Pbn{101};
  geometry.uuid[3] = std::byte{0xC7};
  Block block(kBlockSize);
  encode_volume_geometry(geometry, block);
  EXPECT_EQ(decode_volume_geometry(block).value(), geometry);
  EXPECT_EQ(device_byte(Pbn{101}, geometry.bio_offset), 4096U);

  geometry.major_version = 4;
  geometry.bio_offset = 0;
  encode_volume_geometry(geometry, block);
  EXPECT_EQ(decode_volume_geometry(block).value(), geometry);
  EXPECT_EQ(load_le64(block.data() + 20), 93U) << "size in the header";
  EXPECT_EQ(load_le64(block.data() + 72), geometry.data_start.value());
  EXPECT_EQ(load_le32(block.data() + 89), vdo_crc32(ConstBytes(block).first(89)));
}

TEST(VolumeGeometry, TellsNoVolumeFromAnotherVersionFromDamage) {
  Block block(kBlockSize);
  EXPECT_EQ(decode_volume_geometry(block).error().code(), Errc::not_found);
  encode_volume_geometry(sample().geometry, block);
  for (const std::uint8_t version : {std::uint8_t{3}, std::uint8_t{6}}) {
    Block other = block;
    store_u8(other.data() + 12, version);
    EXPECT_EQ(decode_volume_geometry(other).error().code(), Errc::unsupported);
  }
  for (std::size_t bit = 0; bit < kGeometrySizeV5 * 8; ++bit) {
    Block damaged = block;
    damaged[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(decode_volume_geometry(damaged).ok()) << "bit " << bit;
  }
}

TEST(VolumeGeometry, RefusesRegionsThatContradict) {
  const auto refuses = [](const std::function<void(VolumeGeometry&)>& change) {
    VolumeGeometry geometry = sample().geometry;
    change(geometry);
    Block block(kBlockSize);
    encode_volume_geometry(geometry, block);
    const auto decoded = decode_volume_geometry(block);
    return !decoded.ok() && decoded.error().code() == Errc::corrupt;
  };
  EXPECT_FALSE(refuses([](VolumeGeometry&) {}));
  EXPECT_TRUE(refuses([](VolumeGeometry& g) { g.index_start = Pbn{0}; }));
  EXPECT_TRUE(refuses([](VolumeGeometry& g) { g.index_start = g.data_start + 1; }));
  EXPECT_TRUE(refuses([](VolumeGeometry& g) { g.bio_offset = 1; }));
  EXPECT_TRUE(refuses([](VolumeGeometry& g) { g.data_start = Pbn{1ULL << 36}; }));
}

}  // namespace
}  // namespace uvdo
