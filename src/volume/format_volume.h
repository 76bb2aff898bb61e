// SPDX-License-Identifier: GPL-2.0-or-later
// Writes a new, empty volume (vdo-behaviour.md, 2).
#pragma once

#include "async/task.h"
#include "device/device.h"
#include "format/volume_layout.h"

namespace uvdo {

/// Makes `device` a volume as `layout` says. In the order that leaves no half-made volume behind:
/// old identities are cleared first, the geometry block is written last.
Task<Result<void>> format_volume(Device& device, const VolumeLayout& layout);

}  // namespace uvdo
