// SPDX-License-Identifier: GPL-2.0-or-later
// The start of volumes, as the verbs create, import and start have it.
#pragma once

#include <string>

#include "vdo/volume_work.h"

namespace uvdo {

/// Starts the volume, which is not running, and tells how. One whose UUID the file does not tell
/// has it there from then on.
Outcome start_volume(VerbContext& context, const std::string& name, ConfVolume& volume);

}  // namespace uvdo
