// SPDX-License-Identifier: GPL-2.0-or-later
// The inside of a volume in use as JSON, for people who look for the cause of something: what is
// in flight, who could be waiting for what, how far the journals are. Its keys may change with any
// version.
#pragma once

#include "base/json.h"
#include "volume/volume.h"

namespace uvdo {

/// Slab by slab: others have their turns meanwhile. What changes then may not fit together.
Task<Json> dump_state(Executor& executor, const Volume& volume);

}  // namespace uvdo
