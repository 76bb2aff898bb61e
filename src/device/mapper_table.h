// SPDX-License-Identifier: GPL-2.0-or-later
// The table of a device-mapper map: what each part of the map is made of. Only a process with
// CAP_SYS_ADMIN gets it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace uvdo {

/// A part of a map; figures in sectors of 512 bytes.
struct MapTarget {
  std::uint64_t start = 0;
  std::uint64_t length = 0;
  std::string type;        ///< "linear", "crypt", "thin", ...
  std::string parameters;  ///< of that type
};
using MapTable = std::vector<MapTarget>;

/// Asks the kernel by way of `control` (/dev/mapper/control). Nothing if it does not tell.
[[nodiscard]] std::optional<MapTable> ask_map_table(const std::string& control, dev_t device);

/// Whether a map of `sectors` is what it maps, byte for byte from the first to the last (encrypted
/// or not, by one way or several), and nothing else, if that has the same size.
[[nodiscard]] bool is_whole_device(const MapTable& table, std::uint64_t sectors);

/// The same by what /sys tells everybody: the name that the map's maker has given it (dm/uuid). Who
/// maps only a part of a device has a smaller map.
[[nodiscard]] bool is_whole_device(const std::string& map_uuid);

}  // namespace uvdo
