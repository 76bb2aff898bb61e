// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/yaml_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include <fmt/core.h>

namespace uvdo {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }

/// Words that are truth values or nothing, in YAML 1.1 or 1.2.
bool is_constant(std::string_view text) {
  constexpr std::array<std::string_view, 10> kWords{"y",   "n",    "yes",   "no",   "on",
                                                    "off", "true", "false", "null", "~"};
  std::string small(text);
  std::ranges::transform(small, small.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::ranges::find(kWords, small) != kWords.end();
}

/// Numbers, also of base 60, and dates.
bool is_number_or_time(std::string_view text) {
  std::string_view number = text;
  if (number.starts_with('+') || number.starts_with('-')) number.remove_prefix(1);
  if (number.starts_with("0x") || number.starts_with("0b") || number.starts_with("0o")) return true;
  if (number == ".inf" || number == ".nan") return true;
  double value = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  if (read.ec == std::errc() && read.ptr == number.data() + number.size()) return true;
  return number.find_first_not_of("0123456789 TtZ:.+-_") == std::string_view::npos &&
         number.find_first_of("-:_") != std::string_view::npos &&
         std::isdigit(static_cast<unsigned char>(number.front())) != 0;
}

bool may_be_plain(std::string_view text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  constexpr std::string_view kIndicators = "!&*?|>%@`\"'#,[]{}-:";
  // A dash begins a list only before a blank.
  const bool begins_well =
      kIndicators.find(text.front()) == std::string_view::npos ||
      (text.front() == '-' && text.size() > 1 && text[1] != ' ' && text[1] != '-');
  return begins_well && text.find(": ") == std::string_view::npos &&
         text.find(" #") == std::string_view::npos && !is_constant(text) &&
         !is_number_or_time(text);
}

std::string in_double_quotes(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (is_control(c)) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

std::string yaml_scalar(std::string_view text) {
  if (std::ranges::any_of(text, is_control)) return in_double_quotes(text);
  if (may_be_plain(text)) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace uvdo
