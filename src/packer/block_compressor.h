// SPDX-License-Identifier: GPL-2.0-or-later
// LZ4 for a stream of blocks, much of which may be compressed or encrypted already: where nothing
// has shrunk for a while and a block looks like noise, it is seldom tried.
#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "format/compressed_block.h"

namespace uvdo {

/// One a thread: it has the memory that LZ4 works in, and what recent blocks have taught.
class BlockCompressor {
 public:
  /// As Lz4Compressor::compress(), but may be 0 for a block that would shrink if it is made of
  /// noise that repeats itself, and comes after many that did not.
  [[nodiscard]] std::size_t compress(const std::byte* block, MutableBytes out);

  /// For who knows a block's size otherwise: whether compress() would not try it, and what it would
  /// learn.
  [[nodiscard]] bool would_skip(const std::byte* block) const;
  void learn(bool has_shrunk) { failures_ = has_shrunk ? 0 : failures_ + 1; }

 private:
  Lz4Compressor lz4_;
  unsigned failures_ = 0;  // blocks that did not shrink, or were not tried, since one did
};

/// How many different bytes there are among 256 that are taken from all over a block.
[[nodiscard]] unsigned different_bytes(const std::byte* block);

/// Whether the bytes of a block are spread as evenly as those of noise are.
[[nodiscard]] bool looks_like_noise(const std::byte* block);

}  // namespace uvdo
