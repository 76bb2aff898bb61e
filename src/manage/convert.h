// SPDX-License-Identifier: GPL-2.0-or-later
// Making room in front of a stopped volume for the metadata of LVM.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace uvdo {

/// Where a converted volume begins on its device, in bytes.
inline constexpr std::uint64_t kConvertedStart = std::uint64_t{2} << 20;

/// Has the volume at `path` begin kConvertedStart bytes later, its end and its data staying where
/// they are. The deduplication index, which gives the room, is a chapter smaller and begins empty.
/// Broken off at any point, the volume is the old one or the new one; there is no way back. busy:
/// somebody uses it; invalid_argument: it is converted already.
Result<void> convert_for_lvm(const std::string& path);

}  // namespace uvdo
