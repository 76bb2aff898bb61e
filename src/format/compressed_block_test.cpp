// SPDX-License-Identifier: GPL-2.0-or-later
// Compressed blocks: what is packed comes out again, damage is an error.
#include "format/compressed_block.h"

#include <gtest/gtest.h>

#include "format/test_fixture.h"

namespace uvdo {
namespace {

using test::Block;

/// A block that LZ4 shrinks to about `unique` bytes.
Block compressible(std::size_t unique, std::mt19937_64& random) {
  Block block(kBlockSize);
  test::fill_random(MutableBytes(block).first(unique), random);
  return block;
}

struct Packed {
  std::vector<Block> data;
  Block block = Block(kBlockSize);
};

Packed pack(std::size_t count, std::size_t unique, std::mt19937_64& random) {
  Packed packed;
  Lz4Compressor compressor;
  std::vector<Block> fragments;
  for (std::size_t i = 0; i < count; ++i) {
    packed.data.push_back(compressible(unique, random));
    Block out(kBlockSize);
    const std::size_t size = compress_fragment(packed.data.back().data(), out, compressor);
    EXPECT_GT(size, 0U);
    out.resize(size);
    fragments.push_back(out);
  }
  std::vector<ConstBytes> spans(fragments.begin(), fragments.end());
  build_compressed_block(spans, packed.block);
  return packed;
}

TEST(CompressedBlock, GivesBackEveryFragment) {
  std::mt19937_64 random(test::kSeed);
  for (std::size_t count = 1; count <= kMaxFragments; ++count) {
    const Packed packed = pack(count, 200, random);
    for (unsigned slot = 0; slot < 20; ++slot) {
      Block out(kBlockSize);
      const auto read = read_fragment(packed.block, slot, out);
      ASSERT_EQ(read.ok(), slot < count) << slot << " of " << count;
      if (slot < count) {
        EXPECT_EQ(out, packed.data[slot]);
      } else {
        EXPECT_EQ(read.error().code(), Errc::corrupt);
      }
    }
  }
}

TEST(CompressedBlock, RefusesAnotherVersionAndSizesThatDoNotFit) {
  std::mt19937_64 random(test::kSeed);
  const Packed packed = pack(3, 1000, random);
  const auto reads = [](const Block& block, unsigned slot) {
    Block out(kBlockSize);
    return read_fragment(block, slot, out).ok();
  };
  ASSERT_TRUE(reads(packed.block, 2));
  for (const std::size_t at : {0U, 4U}) {
    Block other = packed.block;
    other[at] ^= std::byte{2};
    EXPECT_FALSE(reads(other, 0));
  }
  Block far = packed.block;
  store_le16(far.data() + 8, 4060);  // the first fragment fills all: there is no place for others
  EXPECT_FALSE(reads(far, 1));
  store_le16(far.data() + 8, 0xFFFF);
  EXPECT_FALSE(reads(far, 0));
  EXPECT_FALSE(reads(far, 2));
  Block longer = packed.block;
  const std::uint16_t size = load_le16(longer.data() + 12);
  store_le16(longer.data() + 12, static_cast<std::uint16_t>(size - 1));
  EXPECT_FALSE(reads(longer, 2)) << "a fragment that is cut short";
  EXPECT_TRUE(reads(longer, 1));
}

TEST(CompressedBlock, AFragmentOfAnotherLengthThanABlockIsRefused) {
  // A raw LZ4 block of 4 literals: valid, but it makes 4 bytes.
  const std::vector<std::byte> four{std::byte{0x40}, std::byte{1}, std::byte{2}, std::byte{3},
                                    std::byte{4}};
  Block block(kBlockSize);
  const ConstBytes spans[] = {four};
  build_compressed_block(spans, block);
  Block out(kBlockSize);
  EXPECT_TRUE(fragment_of(block, 0).ok());
  EXPECT_FALSE(read_fragment(block, 0, out).ok());
}

TEST(Lz4Compressor, DoesNotTakeWhatDoesNotFit) {
  std::mt19937_64 random(test::kSeed);
  Lz4Compressor compressor;
  Block out(kBlockSize);
  EXPECT_EQ(compressor.compress(test::random_block(random).data(), out), 0U);
  // Around the limit of 4059 bytes, and never beyond it.
  for (std::size_t unique = 3900; unique <= kBlockSize; unique += 3) {
    EXPECT_LE(compressor.compress(compressible(unique, random).data(), out), kMaxFragmentSize);
  }
  // A smaller room is kept as well.
  const Block block = compressible(500, random);
  EXPECT_EQ(compressor.compress(block.data(), MutableBytes(out).first(300)), 0U);
  EXPECT_GT(compressor.compress(block.data(), MutableBytes(out).first(600)), 0U);
}

TEST(CompressedBlock, DamageAnywhereNeverReadsOutsideOfTheBlock) {
  std::mt19937_64 random(test::kSeed);
  const Packed packed = pack(8, 300, random);
  for (int i = 0; i < 4000; ++i) {
    // On the heap and of exact size, so that sanitizers see a step too far.
    Block block = i % 8 == 0 ? test::random_block(random) : packed.block;
    for (std::uint64_t n = random() % 4; n > 0; --n) {
      block[random() % kBlockSize] = static_cast<std::byte>(random());
    }
    store_le32(block.data(), 1);
    store_le32(block.data() + 4, 0);
    Block out(kBlockSize);
    for (unsigned slot = 0; slot < 16; ++slot) {
      const auto read = read_fragment(block, slot, out);
      if (!read.ok()) {
        ASSERT_EQ(read.error().code(), Errc::corrupt);
      }
      ASSERT_EQ(try_read_fragment(block, slot, out), read.ok());
    }
  }
}

}  // namespace
}  // namespace uvdo
