// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/screen_layout.h"

#include <algorithm>

namespace uvdo {
namespace {

// In UTF-8: not 10xxxxxx. Each character counts as one column.
bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }

/// Bytes of the first `columns` characters.
std::size_t bytes_of(const std::string& text, std::size_t columns) {
  std::size_t shown = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (begins_character(text[i]) && shown++ == columns) return i;
  }
  return text.size();
}

std::vector<std::string> wrapped(const std::string& text, std::size_t columns) {
  std::vector<std::string> parts;
  std::string rest = text;
  while (true) {
    const std::size_t most = bytes_of(rest, columns);
    if (most == rest.size()) break;
    // A blank may stand just behind the last character that fits.
    const std::size_t blank = rest.rfind(' ', most);
    const bool is_word = blank == std::string::npos || blank == 0;
    parts.push_back(rest.substr(0, is_word ? most : blank));
    rest.erase(0, is_word ? most : blank + 1);
  }
  parts.push_back(std::move(rest));
  return parts;
}

}  // namespace

std::vector<std::string> fit_lines(const std::vector<ScreenLine>& lines, std::size_t rows,
                                   std::size_t columns) {
  columns = std::max<std::size_t>(columns, 1);
  std::vector<ScreenLine> kept;
  for (const ScreenLine& line : lines) {
    if (line.use != LineUse::verdict) {
      kept.push_back({line.use, line.text.substr(0, bytes_of(line.text, columns))});
      continue;
    }
    for (std::string& part : wrapped(line.text, columns)) kept.push_back({line.use, part});
  }
  // One line at a time, until the rest fits.
  while (kept.size() > rows) {
    // The last of those of least use.
    const auto least = std::ranges::max_element(kept, {}, &ScreenLine::use)->use;
    const auto last = std::find_if(kept.rbegin(), kept.rend(),
                                   [&](const ScreenLine& line) { return line.use == least; });
    kept.erase(std::next(last).base());
  }
  std::vector<std::string> texts;
  texts.reserve(kept.size());
  for (ScreenLine& line : kept) texts.push_back(std::move(line.text));
  return texts;
}

}  // namespace uvdo
