// SPDX-License-Identifier: GPL-2.0-or-later
// How people may call a backing store: by a path (also one under /dev/disk), or, for a block
// device, by MAJOR:MINOR.
#pragma once

#include <string>

#include "base/result.h"

namespace uvdo {

/// The path of what `name` calls. A file of that very name comes first. not_found: there is no
/// block device with that number.
Result<std::string> backing_store_path(const std::string& name);

}  // namespace uvdo
