// SPDX-License-Identifier: GPL-2.0-or-later
// What commands ask before they do something that is possible, but perhaps not meant.
#pragma once

#include <cstdint>
#include <string_view>

namespace uvdo {

/// Whether to go on. With `yes` nobody is asked; the user of a terminal is; elsewhere `doubt`, a
/// sentence, goes to standard error as a warning, and the command goes on.
[[nodiscard]] bool may_go_on(std::string_view doubt, bool yes);

/// Asks so about a logical size of more than 100 times the room for data.
[[nodiscard]] bool may_offer(std::uint64_t logical_bytes, std::uint64_t room_bytes, bool yes);

}  // namespace uvdo
