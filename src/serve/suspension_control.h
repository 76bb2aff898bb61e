// SPDX-License-Identifier: GPL-2.0-or-later
// The control commands "suspend" and "resume" (docs/control.md).
#pragma once

#include "serve/control_server.h"
#include "volume/volume.h"

namespace uvdo {

/// Suspends the volume; {"flush": false} does not save it. Answers when nothing reaches its device
/// any more.
Task<Result<Json>> suspend_by_request(Volume& volume, Json request);
Task<Result<Json>> resume_by_request(Volume& volume);

}  // namespace uvdo
