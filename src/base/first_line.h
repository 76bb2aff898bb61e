// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel tells in files of one line, in /proc and /sys.
#pragma once

#include <string>

namespace uvdo {

/// Without its end; empty if there is none, or the file cannot be read.
[[nodiscard]] std::string first_line(const std::string& path);

}  // namespace uvdo
