// SPDX-License-Identifier: GPL-2.0-or-later
// Writing a new volume to a file or block device (vdo-behaviour.md, 2).
#pragma once

#include <string>

#include "base/result.h"
#include "format/volume_layout.h"

namespace uvdo {

/// Writes a new volume to an open descriptor. The geometry block comes last, behind a flush: if
/// this fails or the machine stops midway, there is no volume.
Result<void> write_new_volume(int fd, const std::string& path, const VolumeLayout& layout);

/// What libblkid finds on a device ("an ext4 file system"); empty if it finds nothing.
Result<std::string> find_signature(int fd, const std::string& path);

}  // namespace uvdo
