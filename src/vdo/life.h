// SPDX-License-Identifier: GPL-2.0-or-later
// The start and the end of volumes, as the verbs create, import, start, stop and remove have them.
#pragma once

#include <string>

#include "vdo/volume_work.h"

namespace uvdo {

/// The word of _operationState while nothing is under way.
inline constexpr std::string_view kFinished = "finished";

/// wrong_state: an operation on the volume was broken off, and only `vdo remove --force` helps.
Outcome check_is_finished(const std::string& name, const ConfVolume& volume);

/// Starts the volume, which is not running, and tells how.
Outcome start_volume(VerbContext& context, const std::string& name, const ConfVolume& volume);

/// Stops the volume if it is running. With --force what is mounted of it is unmounted before.
Outcome stop_volume(VerbContext& context, const std::string& name, const ConfVolume& volume);

}  // namespace uvdo
