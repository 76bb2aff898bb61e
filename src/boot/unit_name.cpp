// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot/unit_name.h"

#include <fmt/core.h>

namespace uvdo {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void append_escaped(std::string& word, char c) {
  word += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
}

std::string instance_of(std::string_view name) {
  std::string word;
  for (const char c : name) {
    if (is_letter_or_digit(c) || c == '.' || c == '_' || c == '-') {
      word += c;
    } else {
      append_escaped(word, c);
    }
  }
  return word;
}

}  // namespace

std::string service_unit_of(std::string_view name) {
  return fmt::format("uvdo@{}.service", instance_of(name));
}

std::string nbd_service_unit_of(std::string_view name) {
  return fmt::format("uvdo-nbd@{}.service", instance_of(name));
}

std::string unit_word_of_path(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  std::string word;
  for (const char c : path) {
    if (c == '/') {
      word += '-';
    } else if (is_letter_or_digit(c) || c == ':' || c == '_' || (c == '.' && !word.empty())) {
      word += c;
    } else {
      append_escaped(word, c);
    }
  }
  return word;
}

}  // namespace uvdo
