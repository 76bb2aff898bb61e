// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/block_pattern.h"

#include <set>

#include <gtest/gtest.h>

#include "base/block_types.h"
#include "format/compressed_block.h"
#include "format/record_name.h"
#include "format/zero_block.h"

namespace uvdo {
namespace {

std::size_t compressed_size(Pattern pattern, std::uint64_t id) {
  const BlockPatterns patterns;
  std::vector<std::byte> block(kBlockSize);
  patterns.fill(block, pattern, id);
  std::vector<std::byte> out(kBlockSize);
  return Lz4Compressor().compress(block.data(), out);
}

TEST(BlockPatterns, EachNumberHasItsOwnBlock) {
  const BlockPatterns patterns;
  std::vector<std::byte> blocks(1000 * kBlockSize);
  for (const Pattern pattern : {Pattern::unique, Pattern::compressible}) {
    patterns.fill(blocks, pattern, 1U << 30U);
    std::set<RecordName> names;
    for (std::size_t i = 0; i < 1000; ++i) {
      names.insert(record_name_of(blocks.data() + i * kBlockSize));
    }
    EXPECT_EQ(names.size(), 1000U);
  }
}

TEST(BlockPatterns, CompressAsTheirNamesSay) {
  for (const std::uint64_t id : {0ULL, 12'345ULL, 1ULL << 40U}) {
    EXPECT_EQ(compressed_size(Pattern::unique, id), 0U);
    EXPECT_GT(compressed_size(Pattern::compressible, id), 1200U);
    EXPECT_LT(compressed_size(Pattern::compressible, id), 2020U);
  }
}

TEST(BlockPatterns, ZerosAreZeros) {
  const BlockPatterns patterns;
  std::vector<std::byte> block(kBlockSize, std::byte{1});
  patterns.fill(block, Pattern::zeros, 7);
  EXPECT_TRUE(is_zero_block(block.data()));
}

}  // namespace
}  // namespace uvdo
