// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/ublk_driver.h"

#include <charconv>

#include <fmt/core.h>

namespace uvdo {

std::string ublk_port_path(std::uint32_t device) { return fmt::format("/dev/ublkc{}", device); }
std::string ublk_disk_path(std::uint32_t device) { return fmt::format("/dev/ublkb{}", device); }

Result<std::uint32_t> parse_ublk_disk_path(std::string_view path) {
  constexpr std::string_view kBegin = "/dev/ublkb";
  std::uint32_t number = 0;
  if (path.starts_with(kBegin)) {
    const std::string_view digits = path.substr(kBegin.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc() && end == digits.data() + digits.size()) return number;
  }
  return Error(Errc::invalid_argument, fmt::format("{} is no ublk device", path));
}

}  // namespace uvdo
