// SPDX-License-Identifier: GPL-2.0-or-later
// The division of a slab.
#include "format/slab_config.h"

#include <algorithm>
#include <bit>

#include <fmt/core.h>

#include "format/reference_block.h"
#include "format/slab_journal_block.h"

namespace uvdo {

Result<SlabConfig> make_slab_config(std::uint64_t slab_size, std::uint64_t slab_journal_size) {
  if (!std::has_single_bit(slab_size) || slab_size > kMaxSlabBlocks) {
    return Error(Errc::invalid_argument,
                 fmt::format("a slab cannot have {} blocks: use a power of two of at most {}",
                             slab_size, kMaxSlabBlocks));
  }
  if (slab_journal_size < 2 || slab_journal_size > slab_size) {
    return Error(Errc::invalid_argument,
                 fmt::format("a slab journal cannot have {} blocks in a slab of {}: use 2 to {}",
                             slab_journal_size, slab_size, slab_size));
  }
  const std::uint64_t rest = slab_size - slab_journal_size;
  // Counts for the blocks of counts too: so the kernel's tools have it (volume.md, 4.2).
  const std::uint64_t reference_blocks = (rest + kCountsPerBlock - 1) / kCountsPerBlock;
  if (rest <= reference_blocks) {
    return Error(Errc::invalid_argument,
                 fmt::format("a slab of {} blocks has no room for data besides its journal of {}: "
                             "use larger slabs",
                             slab_size, slab_journal_size));
  }
  SlabConfig config;
  config.slab_blocks = slab_size;
  config.reference_count_blocks = reference_blocks;
  config.data_blocks = rest - reference_blocks;
  // Small slabs keep a power of two; the blocks after the journal stay unused.
  if (slab_size < 1024) config.data_blocks = std::bit_floor(config.data_blocks);
  config.slab_journal_blocks = slab_journal_size;
  const std::uint64_t reserve = 1 + 2048 / kSlabJournalFullEntries;  // a burst of all requests
  config.scrubbing = slab_journal_size > reserve ? slab_journal_size - reserve : 0;
  // Integer divisions, in this order.
  config.flushing = (slab_journal_size * 3 + 3) / 4;
  config.blocking =
      std::min(config.flushing + (slab_journal_size - config.flushing) * 5 / 7, config.scrubbing);
  return config;
}

}  // namespace uvdo
