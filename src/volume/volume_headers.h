// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume says about itself on its device: geometry and super block.
#pragma once

#include "async/task.h"
#include "device/backing_store.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"

namespace uvdo {

struct VolumeHeaders {
  VolumeGeometry geometry;
  SuperBlock super_block;
};

/// Reads both, and sees to it that all of the volume is on the store. Errors name the store.
Task<Result<VolumeHeaders>> read_volume_headers(BackingStore& store);

}  // namespace uvdo
