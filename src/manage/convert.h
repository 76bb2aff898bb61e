// SPDX-License-Identifier: GPL-2.0-or-later
// Making room in front of a stopped volume for the metadata of LVM.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace uvdo {

/// Where a converted volume begins on its device, in bytes.
inline constexpr std::uint64_t kConvertedStart = std::uint64_t{2} << 20;

/// Has the volume at `path` begin kConvertedStart bytes later, its data staying where they are. It
/// is no longer than what is left of its device in extents of kConvertedStart bytes (the kernel
/// wants LVM's volume to be as large as the super block says), so that up to twice that much behind
/// its last slab, which no slab uses, is given up too. The
/// deduplication index, which gives the room in front, is made anew, empty and a chapter smaller;
/// it takes its memory meanwhile.
/// Broken off at any point, the volume is the old one, with or without that end, or the new one;
/// there is no way back. busy: somebody uses it; invalid_argument: it is converted already, or
/// has not so much behind its last slab.
Result<void> convert_for_lvm(const std::string& path);

}  // namespace uvdo
