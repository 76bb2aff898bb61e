// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload/block_pattern.h"

#include <cstring>
#include <random>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::size_t kNoiseBytes = std::size_t{1} << 20U;  // stays in the processor's cache
constexpr std::size_t kStride = 512;

}  // namespace

BlockPatterns::BlockPatterns() : noise_(kNoiseBytes) {
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < noise_.size(); i += sizeof(std::uint64_t)) {
    store_le64(noise_.data() + i, random());
  }
}

void BlockPatterns::fill(MutableBytes blocks, Pattern pattern, std::uint64_t id) const {
  for (std::size_t at = 0; at < blocks.size(); at += kBlockSize, ++id) {
    std::byte* block = blocks.data() + at;
    if (pattern == Pattern::zeros) {
      std::memset(block, 0, kBlockSize);
      continue;
    }
    // Different parts of the noise for different numbers, and the number itself in front: no two
    // blocks are equal.
    std::memcpy(block, noise_.data() + id * 64 % (kNoiseBytes - kBlockSize), kBlockSize);
    store_le64(block, id);
    if (pattern == Pattern::unique) continue;
    // Zeros in more than half of it, so that two such blocks share a compressed one.
    for (std::size_t i = kStride; i < kBlockSize; i += 2 * kStride) {
      std::memset(block + i, 0, kStride);
    }
    std::memset(block + kBlockSize - 2 * kStride, 0, kStride);
  }
}

}  // namespace uvdo
