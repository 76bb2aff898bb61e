// SPDX-License-Identifier: GPL-2.0-or-later
// MurmurHash3 against published vectors, and many blocks at once against one by one.
#include "base/murmur3.h"

#include <random>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

Hash128 from_halves(std::uint64_t h1, std::uint64_t h2) {
  Hash128 hash;
  store_le64(hash.bytes.data(), h1);
  store_le64(hash.bytes.data() + 8, h2);
  return hash;
}

Hash128 hash_of(std::string_view text) {
  return murmur3_x64_128(std::as_bytes(std::span(text)), 0);
}

TEST(Murmur3, HashesKnownTexts) {
  EXPECT_EQ(hash_of(""), Hash128{});
  EXPECT_EQ(hash_of("hello"), from_halves(0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19));
  EXPECT_EQ(hash_of("The quick brown fox jumps over the lazy dog"),
            from_halves(0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347));
}

// The verification value that hash test suites publish: keys of 0 .. 255 bytes, each with its own
// seed, so that every length of tail is covered; then the hash of all the hashes.
TEST(Murmur3, HasThePublishedVerificationValue) {
  std::vector<std::byte> key;
  std::vector<std::byte> hashes;
  for (std::uint32_t i = 0; i < 256; ++i) {
    const Hash128 hash = murmur3_x64_128(key, 256 - i);
    hashes.insert(hashes.end(), hash.bytes.begin(), hash.bytes.end());
    key.push_back(static_cast<std::byte>(i));
  }
  EXPECT_EQ(load_le32(murmur3_x64_128(hashes, 0).bytes.data()), 0x6384BA69U);
}

TEST(Murmur3, HashesAnyNumberOfBlocksAsOneByOne) {
  constexpr std::size_t kMost = 21;
  std::mt19937_64 random(5);
  std::vector<std::byte> data(kMost * kBlockSize + kMost);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  for (std::size_t n = 0; n <= kMost; ++n) {
    std::vector<const std::byte*> blocks;
    // One byte more between blocks: all alignments are met.
    for (std::size_t i = 0; i < n; ++i) blocks.push_back(data.data() + i * (kBlockSize + 1));
    std::vector<Hash128> hashes(n + 1, from_halves(1, 2));
    murmur3_x64_128_blocks(blocks, 77, hashes.data());
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_EQ(hashes[i], murmur3_x64_128({blocks[i], kBlockSize}, 77)) << i << " of " << n;
    }
    EXPECT_EQ(hashes[n], from_halves(1, 2)) << "wrote past its output for " << n;
  }
}

}  // namespace
}  // namespace uvdo
