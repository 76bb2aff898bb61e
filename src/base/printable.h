// SPDX-License-Identifier: GPL-2.0-or-later
// Text of others on its way to a terminal. Names of files, answers of servers and messages of
// clients may hold anything; a control character in them could change what a terminal shows or
// does.
#pragma once

#include <string>
#include <string_view>

namespace uvdo {

/// The text with everything that a terminal might obey, or that hides other text, written as \xNN:
/// control characters (also line feeds, and those above 0x7F), marks of the direction of text
/// (U+202A and the like, as \u202A), and bytes that are no UTF-8.
[[nodiscard]] std::string printable(std::string_view text);

/// The same for text of several lines: line feeds and tabs stay.
[[nodiscard]] std::string printable_lines(std::string_view text);

}  // namespace uvdo
