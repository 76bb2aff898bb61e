// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/block_compressor.h"

#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr unsigned kSeed = 20251;

std::vector<std::byte> noise(std::mt19937_64& random) {
  std::vector<std::byte> block(kBlockSize);
  for (std::byte& b : block) b = static_cast<std::byte>(random());
  return block;
}

class BlockCompressorTest : public ::testing::Test {
 protected:
  std::size_t compress(const std::vector<std::byte>& block) {
    return compressor_.compress(block.data(), out_);
  }
  std::mt19937_64 random_{kSeed};
  BlockCompressor compressor_;
  std::vector<std::byte> out_ = std::vector<std::byte>(kBlockSize);
};

TEST_F(BlockCompressorTest, TextIsNeverTakenForNoise) {
  constexpr std::string_view kWords = "The quick brown fox jumps over the lazy dog 0123456789 ";
  for (unsigned i = 0; i < 100; ++i) ASSERT_EQ(compress(noise(random_)), 0U);
  std::vector<std::byte> text(kBlockSize);
  for (unsigned n = 0; n < 100; ++n) {
    for (std::byte& b : text) b = static_cast<std::byte>(kWords[random_() % kWords.size()]);
    // Halves that are the same, so that it shrinks however the letters fall.
    std::memcpy(text.data() + kBlockSize / 2, text.data(), kBlockSize / 2);
    ASSERT_GT(compress(text), 0U);
  }
}

TEST_F(BlockCompressorTest, NoiseThatRepeatsItselfShrinksWhereOtherBlocksDo) {
  for (unsigned n = 0; n < 100; ++n) {
    ASSERT_EQ(compress(noise(random_)), 0U);
    auto repeated = noise(random_);
    std::memcpy(repeated.data() + kBlockSize / 2, repeated.data(), kBlockSize / 2);
    ASSERT_GT(compress(repeated), 0U);
  }
}

TEST_F(BlockCompressorTest, NoiseIsTriedNowAndThenAndFoundToRepeatItself) {
  for (unsigned i = 0; i < 1000; ++i) ASSERT_EQ(compress(noise(random_)), 0U);
  auto repeated = noise(random_);
  std::memcpy(repeated.data() + kBlockSize / 2, repeated.data(), kBlockSize / 2);
  unsigned missed = 0;
  while (compress(repeated) == 0) ASSERT_LT(++missed, 16U);
  EXPECT_GT(compress(repeated), 0U);
}

TEST_F(BlockCompressorTest, NoiseLooksLikeIt) {
  unsigned noisy = 0;
  for (unsigned i = 0; i < 1000; ++i) noisy += looks_like_noise(noise(random_).data()) ? 1U : 0U;
  EXPECT_GE(noisy, 999U);
  EXPECT_FALSE(looks_like_noise(std::vector<std::byte>(kBlockSize).data()));
}

}  // namespace
}  // namespace uvdo
