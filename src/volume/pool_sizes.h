// SPDX-License-Identifier: GPL-2.0-or-later
// How much the pools of a volume hold besides the buffers of clients' data. They are made when it
// is opened.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ledger/ledger.h"
#include "volume/volume_options.h"

namespace uvdo {

/// Blocks that can be on their way through the volume.
[[nodiscard]] inline std::size_t blocks_at_once(const VolumeOptions& options) {
  return (options.buffer_bytes + options.internal_buffer_bytes) / kBlockSize;
}

/// Blocks of fragments that are being compressed, or wait in the packer, and keep their data.
[[nodiscard]] inline std::size_t parked_blocks(const VolumeOptions& options) {
  return options.packer_fragments + options.packer_fragments / 3;
}

/// What the depot is to have memory for.
[[nodiscard]] inline DepotPools depot_pools(const VolumeOptions& options) {
  return {options.slab_journal_blocks, options.frees_under_way, blocks_at_once(options)};
}

/// As the options of the volume say.
[[nodiscard]] inline LedgerSettings ledger_settings(const VolumeOptions& options,
                                                    MutableBytes journal_memory) {
  return {options.block_map_cache_pages, options.block_map_maximum_age, depot_pools(options),
          options.faults, journal_memory};
}

}  // namespace uvdo
