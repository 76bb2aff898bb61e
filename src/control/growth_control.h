// SPDX-License-Identifier: GPL-2.0-or-later
// The control command "grow" (docs/control.md).
#pragma once

#include "control/control_server.h"
#include "volume/volume.h"

namespace uvdo {

/// Grows the volume as {"logical": bytes, "physical": bytes or "max"} says, physically first.
/// Answers with the sizes that it has then.
Task<Result<Json>> grow_by_request(Volume& volume, Json request);

}  // namespace uvdo
