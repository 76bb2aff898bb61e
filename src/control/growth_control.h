// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "grow" (docs/control.md).
#pragma once

#include "async/task.h"
#include "control/growth_message.h"
#include "volume/volume.h"

namespace uvdo {

/// Grows the volume, physically first. Answers with the sizes that it has then.
Task<Result<GrowthAnswer>> grow_by_request(Volume& volume, GrowthMessage request);

}  // namespace uvdo
