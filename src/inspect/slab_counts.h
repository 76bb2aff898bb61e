// SPDX-License-Identifier: GPL-2.0-or-later
// The reference counts of a slab as a loader would have them: read from its reference blocks, and
// replayed from its journal and the recovery journal where they are dirty (behaviour.md, 8).
#pragma once

#include <vector>

#include "base/block_types.h"
#include "base/result.h"
#include "format/reference_block.h"
#include "format/slab_summary.h"
#include "inspect/finding.h"
#include "inspect/volume_image.h"

namespace uvdo {

/// One count for each data block of the slab; what is wrong on the way goes to `sink`. Fails only
/// if the device does.
Result<std::vector<ReferenceCount>> load_slab_counts(const VolumeImage& image, SlabNumber slab,
                                                     const SlabSummaryEntry& summary,
                                                     const FindingSink& sink);

}  // namespace uvdo
