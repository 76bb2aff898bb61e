// SPDX-License-Identifier: GPL-2.0-or-later
// Writes a new, empty volume (behaviour.md, 2): the one way to make a volume, for the program
// as for tests and the simulation.
#pragma once

#include "async/task.h"
#include "base/fault_points.h"
#include "device/device.h"
#include "format/volume_layout.h"

namespace uvdo {

/// Makes `device` a volume as `layout` says, which is durable then. Whatever it held, and wherever
/// the power fails: there is the old volume, perhaps without its index, or none, or the new one.
/// Old identities are cleared first, and stable before anything else of the old volume changes;
/// the geometry block is written last, when all else is stable.
Task<Result<void>> format_volume(Device& device, const VolumeLayout& layout,
                                 FaultPoints faults = {});

}  // namespace uvdo
