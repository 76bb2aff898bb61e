// SPDX-License-Identifier: GPL-2.0-or-later
#include "packer/block_compressor.h"

#include <array>
#include <numeric>

#include "base/block_types.h"

namespace uvdo {
namespace {

/// So many blocks must have failed before one is not tried.
constexpr unsigned kPatience = 16;
/// Of those that look like noise, one in so many is tried even then.
constexpr unsigned kTrial = 16;

}  // namespace

unsigned different_bytes(const std::byte* block) {
  // From eight places, as a block may have a header that is unlike the rest.
  constexpr std::size_t kRuns = 8;
  constexpr std::size_t kRun = 32;
  std::array<std::uint8_t, 256> seen{};
  for (std::size_t run = 0; run < kRuns; ++run) {
    const std::byte* p = block + run * (kBlockSize / kRuns);
    for (std::size_t i = 0; i < kRun; ++i) seen[std::to_integer<std::size_t>(p[i])] = 1;
  }
  return std::accumulate(seen.begin(), seen.end(), 0U);
}

bool looks_like_noise(const std::byte* block) {
  // Of 256 bytes of noise 162 are different ones on average, with a deviation of 7; text has some
  // 50, programs about 100. This is almost four deviations below the mean of noise, and far above
  // that of programs.
  constexpr unsigned kDifferent = 135;
  return different_bytes(block) >= kDifferent;
}

bool BlockCompressor::would_skip(const std::byte* block) const {
  return failures_ >= kPatience && failures_ % kTrial != 0 && looks_like_noise(block);
}

std::size_t BlockCompressor::compress(const std::byte* block, MutableBytes out) {
  const std::size_t size = would_skip(block) ? 0 : lz4_.compress(block, out);
  learn(size > 0);
  return size;
}

}  // namespace uvdo
