// SPDX-License-Identifier: GPL-2.0-or-later
// Volumes that are the data of a VDO pool of LVM. LVM leaves 512 KiB at both ends of the volume's
// logical space empty, and maps its logical volume to what lies between.
#pragma once

#include <cstdint>
#include <optional>

#include "inspect/volume_image.h"

namespace uvdo {

inline constexpr std::uint64_t kLvmPoolEnd = std::uint64_t{512} << 10U;  ///< bytes

/// What the users of a pool see, in bytes of the logical space.
struct LvmPoolWindow {
  std::uint64_t offset = kLvmPoolEnd;
  std::uint64_t size = 0;
};

/// The window of a volume that must be a pool: it lies on the data device of one, or its size is
/// that of LVM's extents (4 MiB) and the two ends, and nothing was ever written to these.
std::optional<LvmPoolWindow> lvm_pool_window(VolumeImage& image);

}  // namespace uvdo
