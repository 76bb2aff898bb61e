// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/printable.h"

#include <cstdint>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// A character of UTF-8; length 0: the byte is none.
struct Character {
  std::uint32_t code = 0;
  std::size_t length = 0;
};

Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return static_cast<unsigned char>(text[i]);
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  // Below 0xc2 are bytes that go on, and leads of what a single byte says; above 0xf4 none is used.
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {};
  std::uint32_t code = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return {};
    code = (code << 6U) | (byte(i) & 0x3fU);
  }
  // By length: a smaller code has a shorter form, and this one is none.
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kLeast[length] || code > 0x10ffff || is_surrogate) return {};
  return {code, length};
}

/// Marks that turn the direction of the text behind them, or end a line without being control
/// characters: a name with one can be made to look like another.
bool turns_direction(std::uint32_t code) {
  return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x200e || code == 0x200f || code == 0x061c || code == 0x2028 || code == 0x2029;
}

/// Writes such marks, control characters and bytes that are no UTF-8 by their numbers;
/// `keeps_lines`: not line ends and tabs.
std::string made_visible(std::string_view text, bool keeps_lines) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto [code, length] = first_character(text);
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    const bool is_layout = keeps_lines && (code == '\n' || code == '\t');
    if ((code < 0x20 && !is_layout) || (code >= 0x7f && code < 0xa0)) {
      out += fmt::format("\\x{:02x}", code);
    } else if (turns_direction(code)) {
      out += fmt::format("\\u{:04X}", code);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return made_visible(text, false); }

std::string printable_lines(std::string_view text) { return made_visible(text, true); }

}  // namespace uvdo
