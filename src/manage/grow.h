// SPDX-License-Identifier: GPL-2.0-or-later
// The growth of a volume, through its server while it is in use, by itself otherwise.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/device_message.h"
#include "control/growth_message.h"
#include "manage/served_volume.h"
#include "volume/growth.h"

namespace uvdo {

struct GrowOptions {
  ServedVolume volume;
  GrowthRequest wanted;
  /// Whether so large a logical size is meant, for so much room for data (both in bytes); if
  /// there is none, nobody is asked.
  std::function<bool(std::uint64_t logical, std::uint64_t room)> may_offer{};
};

/// The sizes that the volume has then. cancelled: may_offer() said no, and nothing was changed;
/// else as grow_stopped_volume(), or what the server says.
Result<GrowthAnswer> grow_volume(const GrowOptions& options);

/// The paths of the volume's ublk devices that are smaller than a logical size of so many bytes
/// lets them be: kernels before 6.16 cannot change a device in use, and the rest do it a moment
/// after the growth, for which this waits.
std::vector<std::string> devices_that_keep_their_size(const ServedVolume& volume,
                                                      std::uint64_t logical);

}  // namespace uvdo
