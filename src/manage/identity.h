// SPDX-License-Identifier: GPL-2.0-or-later
// The identity of a stopped volume.
#pragma once

#include <string>

#include "base/result.h"
#include "format/uuid.h"

namespace uvdo {

/// Gives the volume at `path` another UUID, as a copy needs one; durable when it returns. busy:
/// somebody uses it; not_found, corrupt: there is no volume that could be read.
Result<void> set_volume_uuid(const std::string& path, const Uuid& uuid);

}  // namespace uvdo
