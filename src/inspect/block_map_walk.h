// SPDX-License-Identifier: GPL-2.0-or-later
// A walk over the whole block map, tree by tree: checks every page and entry, and counts what they
// refer to.
#pragma once

#include <cstdint>
#include <functional>

#include "inspect/finding.h"
#include "inspect/reference_table.h"
#include "inspect/volume_image.h"

namespace uvdo {

/// What the block map says about the logical device, in blocks.
struct BlockMapContents {
  std::uint64_t tree_pages = 0;         ///< interior pages and leaves in slabs
  std::uint64_t mapped_blocks = 0;      ///< logical blocks whose state is not 0
  std::uint64_t zero_blocks = 0;        ///< of these, mapped to PBN 0
  std::uint64_t fragment_mappings = 0;  ///< of these, mapped to a fragment
  std::uint64_t invalid_entries = 0;    ///< of these, not valid
  std::uint64_t damaged_blocks = 0;     ///< whose mapping is lost, or cannot be right
};

/// Called now and then with the pages done and the pages expected (the volume's own counter).
using WalkProgress = std::function<void(std::uint64_t done, std::uint64_t expected)>;

/// Called for what the walk passes: each page in a slab, by its tree, height and number in the tree
/// at that height, and each entry of a leaf that is not unmapped, right or wrong.
struct MapVisitor {
  std::function<void(Pbn page, std::uint32_t root, unsigned height, std::uint64_t index)> page;
  std::function<void(Lbn lbn, BlockMapping entry)> entry;
};

/// Walks the trees. Pages that cannot be read are reported and count as empty, so that the walk
/// itself does not fail. Every page is visited once, whatever the image says: a page that two
/// entries lead to is followed from the first alone, so a loop ends. References to blocks go to
/// `references`.
BlockMapContents walk_block_map(const VolumeImage& image, ReferenceTable& references,
                                const FindingSink& sink, const WalkProgress& progress = {},
                                const MapVisitor& visitor = {});

}  // namespace uvdo
