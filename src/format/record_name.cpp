// SPDX-License-Identifier: GPL-2.0-or-later
// Record names: MurmurHash3 with VDO's seed.
#include "format/record_name.h"

#include <algorithm>

#include "base/block_types.h"
#include "base/murmur3.h"

namespace uvdo {

RecordName record_name_of(const std::byte* block) {
  return {murmur3_x64_128({block, kBlockSize}, kRecordNameSeed).bytes};
}

void record_names_of(std::span<const std::byte* const> blocks, RecordName* out) {
  constexpr std::size_t kBatch = 32;
  std::array<Hash128, kBatch> hashes;
  while (!blocks.empty()) {
    const std::size_t n = std::min(kBatch, blocks.size());
    murmur3_x64_128_blocks(blocks.first(n), kRecordNameSeed, hashes.data());
    for (std::size_t i = 0; i < n; ++i) out[i].bytes = hashes[i].bytes;
    blocks = blocks.subspan(n);
    out += n;
  }
}

}  // namespace uvdo
