// SPDX-License-Identifier: GPL-2.0-or-later
// Checks every structure of a stopped volume against every other (behaviour.md, 15): counts all
// references anew from the block map, and compares them with what the volume has recorded.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "inspect/block_map_walk.h"
#include "inspect/finding.h"
#include "inspect/volume_image.h"

namespace uvdo {

struct AuditOptions {
  /// Reads all data blocks that are in use, not only metadata and compressed blocks.
  bool read_data = true;
  /// Called now and then: what is being done, how much of it is done, of how much.
  std::function<void(std::string_view, std::uint64_t, std::uint64_t)> progress;
};

/// What an audit has counted. Of a volume that is seen as rebuilt, what a rebuild counts anew is
/// not compared.
struct AuditSummary {
  std::uint64_t errors = 0;
  std::uint64_t notes = 0;
  std::array<std::uint64_t, kFindingKinds> by_kind{};  ///< errors of each kind
  BlockMapContents contents;
  std::uint64_t allocated_blocks = 0;      ///< with a count
  std::uint64_t compressed_blocks = 0;     ///< compressed blocks in use
  std::uint64_t compressed_fragments = 0;  ///< different fragments in them
  std::uint64_t referenced_blocks = 0;     ///< different data blocks that mappings name
  std::uint64_t data_blocks_read = 0;
  /// Logical blocks that cannot be read as they were written, at least; without those that a
  /// damaged journal has lost.
  std::uint64_t logical_blocks_affected = 0;
  [[nodiscard]] bool is_consistent() const { return errors == 0; }
};

/// Checks the volume; each finding goes to `sink` at once. Memory: one byte for each data block of
/// slabs in use, two more where blocks are compressed.
AuditSummary audit(const VolumeImage& image, const AuditOptions& options, const FindingSink& sink);

/// Only what the statistics of a stopped volume need, without reading data: contents, blocks.
AuditSummary summarize(const VolumeImage& image);

}  // namespace uvdo
