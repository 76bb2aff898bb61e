// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/parameter.h"

#include <charconv>

#include <fmt/core.h>

#include "base/size_text.h"

namespace uvdo {
namespace {

Result<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return Error(Errc::invalid_argument, "that is no whole number");
  }
  return value;
}

}  // namespace

Result<std::uint64_t> parse_parameter(std::string_view name, std::string_view text,
                                      const ParameterLimits& limits) {
  const bool is_size = limits.kind == ParameterLimits::Kind::size;
  const auto number = [&](std::uint64_t value) {
    return is_size ? size_text(value) : fmt::format("{}", value);
  };
  auto value = is_size ? parse_size(text) : parse_count(text);
  std::string wrong;
  if (!value) {
    wrong = fmt::format(": {}", value.error().message());
  } else if (*value >= limits.least && *value <= limits.most) {
    return *value;
  }
  return Error(Errc::invalid_argument,
               fmt::format("{} is \"{}\"{}; it takes {} to {}: {}", name, text, wrong,
                           number(limits.least), number(limits.most), limits.reason));
}

Result<bool> parse_switch(std::string_view name, std::string_view text) {
  if (text == "on") return true;
  if (text == "off") return false;
  return Error(Errc::invalid_argument, fmt::format("{} is on or off, not \"{}\"", name, text));
}

}  // namespace uvdo
