// SPDX-License-Identifier: GPL-2.0-or-later
// Names of systemd's units, escaped as systemd does it.
#pragma once

#include <string>
#include <string_view>

namespace uvdo {

/// The unit that serves the volume `name`: "uvdo@NAME.service". The instance is the name itself,
/// with nothing escaped but what a unit's name cannot hold ("+").
[[nodiscard]] std::string service_unit_of(std::string_view name);
/// The same of the server for NBD clients alone.
[[nodiscard]] std::string nbd_service_unit_of(std::string_view name);

/// An absolute path as it stands in names of units (systemd-escape --path): "/dev/uvdo/a-b" is
/// "dev-uvdo-a\x2db".
[[nodiscard]] std::string unit_word_of_path(std::string_view path);

}  // namespace uvdo
