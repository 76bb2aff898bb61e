// SPDX-License-Identifier: GPL-2.0-or-later
// What of a screen full of lines is shown where there is less room than they need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace uvdo {

/// What a line is for; the first are kept longest.
enum class LineUse : std::uint8_t {
  verdict,
  state,
  space,
  title,
  requests,
  savings,
  machine,
  history,
  spacing
};

struct ScreenLine {
  LineUse use = LineUse::spacing;
  std::string text;  ///< UTF-8
};

/// The lines that fit into `rows` of `columns` characters, in their order: those of the least use
/// are left out, of these the last first. A verdict is wrapped at its blanks, others are cut.
[[nodiscard]] std::vector<std::string> fit_lines(const std::vector<ScreenLine>& lines,
                                                 std::size_t rows, std::size_t columns);

}  // namespace uvdo
