// SPDX-License-Identifier: GPL-2.0-or-later
// The logical blocks of a stopped volume that cannot be read as they were written.
#pragma once

#include <functional>
#include <string>

#include "inspect/content_reader.h"
#include "inspect/volume_image.h"

namespace uvdo {

/// "logical block 7", "logical blocks 7 to 9".
[[nodiscard]] std::string place_text(const ContentRun& run);

/// Reads all that the volume holds, in the order of logical blocks, and calls `f` for each run that
/// is damaged; `progress` is told the blocks done.
void find_damaged_blocks(VolumeImage& image, const std::function<void(const ContentRun&)>& f,
                         const std::function<void(std::uint64_t)>& progress);

}  // namespace uvdo
