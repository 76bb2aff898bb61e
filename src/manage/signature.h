// SPDX-License-Identifier: GPL-2.0-or-later
// What a device holds already, so that nobody overwrites it by mistake.
#pragma once

#include <string>

#include "base/result.h"

namespace uvdo {

/// What libblkid finds on a device ("an ext4 file system"); empty if it finds nothing.
Result<std::string> find_signature(int fd, const std::string& path);

}  // namespace uvdo
