// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_driver.h"

#include <fmt/core.h>

namespace uvdo {

std::string ublk_port_path(std::uint32_t device) { return fmt::format("/dev/ublkc{}", device); }
std::string ublk_disk_path(std::uint32_t device) { return fmt::format("/dev/ublkb{}", device); }

}  // namespace uvdo
