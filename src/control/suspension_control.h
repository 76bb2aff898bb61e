// SPDX-License-Identifier: GPL-2.0-or-later
// The control commands "suspend" and "resume" (docs/control.md).
#pragma once

#include "base/log.h"
#include "control/suspension_message.h"
#include "volume/volume.h"

namespace uvdo {

/// Suspends the volume. Answers when nothing reaches its device any more.
Task<Result<SuspendAnswer>> suspend_by_request(Volume& volume, SuspendRequest request);
/// Resumes it. An error is Volume::resume()'s: it is suspended still.
Task<Result<EmptyAnswer>> resume_by_request(Volume& volume);
/// Lets the volume go on whose suspension nobody knows of: who asked for it went away before it had
/// the answer.
Task<void> take_back_suspension(Volume& volume, LogFunction log);

}  // namespace uvdo
