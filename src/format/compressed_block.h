// SPDX-License-Identifier: GPL-2.0-or-later
// A compressed block: up to 14 data blocks, each one raw LZ4 block, packed behind a table of
// their sizes (volume.md, 6.4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/block_types.h"
#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

inline constexpr unsigned kMaxFragments = 14;
inline constexpr std::size_t kCompressedHeaderSize = 36;
inline constexpr std::size_t kFragmentSpace = 4060;    ///< bytes for all fragments
inline constexpr std::size_t kMaxFragmentSize = 4059;  ///< bytes of one
static_assert(kCompressedHeaderSize == 8 + 2 * kMaxFragments);
static_assert(kCompressedHeaderSize + kFragmentSpace == kBlockSize);

/// Fills the 4096 bytes of `block` with 1 .. 14 fragments, which must fit in 4060 bytes together.
void build_compressed_block(std::span<const ConstBytes> fragments, MutableBytes block);

/// Fragment `slot` (any number) of a compressed block, bounds checked. corrupt if there is none.
Result<ConstBytes> fragment_of(ConstBytes block, unsigned slot);

/// Decompresses one fragment into 4096 bytes. corrupt if it does not make exactly 4096; then
/// `out` holds anything.
Result<void> decompress_fragment(ConstBytes fragment, MutableBytes out);

/// Decompresses fragment `slot` of a compressed block into 4096 bytes.
Result<void> read_fragment(ConstBytes block, unsigned slot, MutableBytes out);

/// The same three where it is expected that the block is none, or another one: nothing and false
/// instead of errors, which take memory.
std::optional<ConstBytes> find_fragment(ConstBytes block, unsigned slot);
bool try_decompress_fragment(ConstBytes fragment, MutableBytes out);
bool try_read_fragment(ConstBytes block, unsigned slot, MutableBytes out);

/// Compresses blocks; keeps the state that LZ4 needs (16 KiB). One a thread.
class Lz4Compressor {
 public:
  Lz4Compressor();
  /// Compresses 4096 bytes into `out`, of which at most 4059 are used. Returns the size of the
  /// fragment, or 0 if it does not fit.
  [[nodiscard]] std::size_t compress(const std::byte* block, MutableBytes out);

 private:
  struct FreeState {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, FreeState> state_;
};

/// compress() with the state given.
[[nodiscard]] inline std::size_t compress_fragment(const std::byte* block, MutableBytes out,
                                                   Lz4Compressor& state) {
  return state.compress(block, out);
}

}  // namespace uvdo
