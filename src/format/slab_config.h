// SPDX-License-Identifier: GPL-2.0-or-later
// The seven numbers that describe how a slab is divided (volume.md, 4.2 and 5).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace uvdo {

inline constexpr std::uint64_t kSlabJournalBlocks = 224;     ///< of every volume there is
inline constexpr std::uint64_t kMaxSlabBlocks = 1ULL << 23;  ///< 32 GB
inline constexpr std::uint64_t kMaxSlabs = 8192;
inline constexpr unsigned kMinSlabBits = 13;  ///< of new volumes
inline constexpr unsigned kMaxSlabBits = 23;

struct SlabConfig {
  std::uint64_t slab_blocks = 0;
  std::uint64_t data_blocks = 0;
  std::uint64_t reference_count_blocks = 0;
  std::uint64_t slab_journal_blocks = 0;
  std::uint64_t flushing = 0;   ///< journal blocks in use from which reference blocks are written
  std::uint64_t blocking = 0;   ///< at which writers wait
  std::uint64_t scrubbing = 0;  ///< at which a slab is scrubbed before the volume is opened
  friend bool operator==(const SlabConfig&, const SlabConfig&) = default;
};

/// The numbers for slabs of `slab_size` blocks. invalid_argument if no slab can have that size.
Result<SlabConfig> make_slab_config(std::uint64_t slab_size,
                                    std::uint64_t slab_journal_size = kSlabJournalBlocks);

}  // namespace uvdo
