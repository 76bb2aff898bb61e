// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/size_guesser.h"

#include <algorithm>

#include "packer/block_compressor.h"

namespace uvdo {
namespace {

/// Sizes that are remembered of a kind: few, so that they are of blocks near by, yet of several
/// pieces.
constexpr std::size_t kRemembered = 64;
constexpr unsigned kDifferentBytesOfAKind = 27;

}  // namespace

SizeGuesser::Kind SizeGuesser::kind_of(const std::byte* block) {
  return std::min<Kind>(kKinds - 1, different_bytes(block) / kDifferentBytesOfAKind);
}

void SizeGuesser::learn(Kind kind, std::size_t size) {
  Learned& learned = kinds_[kind];
  if (learned.sizes.size() < kRemembered) {
    learned.sizes.push_back(static_cast<std::uint16_t>(size));
    return;
  }
  learned.sizes[learned.oldest] = static_cast<std::uint16_t>(size);
  learned.oldest = (learned.oldest + 1) % kRemembered;
}

std::optional<std::size_t> SizeGuesser::guess(Kind kind) {
  Learned& learned = kinds_[kind];
  if (learned.sizes.empty()) return std::nullopt;
  const std::size_t size = learned.sizes[learned.next % learned.sizes.size()];
  learned.next = (learned.next + 1) % learned.sizes.size();
  return size;
}

}  // namespace uvdo
