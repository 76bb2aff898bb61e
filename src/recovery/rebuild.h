// SPDX-License-Identifier: GPL-2.0-or-later
// The rebuild of a volume that an error has left read-only: all reference counts are made anew
// from the block map, and what of the map makes no sense is given up (behaviour.md, 10).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "async/executor.h"
#include "base/log.h"
#include "blockmap/page_replay.h"
#include "device/device.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"

namespace uvdo {

struct RebuildOptions {
  bool dry_run = false;  ///< only finds out; writes nothing
  /// Changes of the map that are gathered before they are written.
  std::size_t replay_batch = PageReplay::kBatch;
  LogFunction log;
};

/// What a rebuild did, or would do.
struct RebuildReport {
  std::uint64_t journal_entries = 0;          ///< applied to the block map
  std::uint64_t journal_blocks_skipped = 0;   ///< missing, damaged or of another form
  std::uint64_t journal_entries_skipped = 0;  ///< not valid
  std::uint64_t pages_lost = 0;               ///< unreadable or of another place: now empty
  std::uint64_t subtrees_cleared = 0;         ///< entries of tree pages that led to no page
  std::uint64_t beyond_end = 0;               ///< entries of leaves beyond the logical size
  std::uint64_t invalid_mappings = 0;         ///< that make no sense, or name no data block
  std::uint64_t over_referenced = 0;          ///< to tree pages, or the 255th of a block
  std::uint64_t block_map_blocks = 0;
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t data_blocks_used = 0;
  std::vector<std::string> details;  ///< a sentence each, the first ones

  /// Things that are given up; each may stand for a block of data or more.
  [[nodiscard]] std::uint64_t losses() const {
    return journal_blocks_skipped + journal_entries_skipped + pages_lost + subtrees_cleared +
           invalid_mappings + over_referenced;
  }
};

/// Rebuilds the volume and brings `super_block` up to date, state CLEAN; it is for the caller to
/// write it. Until then the volume is as it was for whoever looks at its super block, and a rebuild
/// that was broken off can be begun anew. Errors are those of the device.
Task<Result<RebuildReport>> rebuild_volume(Executor& executor, Device& device,
                                           const VolumeGeometry& geometry, SuperBlock& super_block,
                                           const RebuildOptions& options);

}  // namespace uvdo
