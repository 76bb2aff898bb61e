// SPDX-License-Identifier: GPL-2.0-or-later
// The version of the program.
#pragma once

#include <string_view>

namespace uvdo {

inline constexpr std::string_view kVersion = UVDO_VERSION;

}  // namespace uvdo
