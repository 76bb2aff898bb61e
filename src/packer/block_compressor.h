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

 private:
  Lz4Compressor lz4_;
  unsigned failures_ = 0;  // blocks that did not shrink, or were not tried, since one did
};

/// Whether the bytes of a block are spread as evenly as those of noise are.
[[nodiscard]] bool looks_like_noise(const std::byte* block);

}  // namespace uvdo
