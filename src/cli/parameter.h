// SPDX-License-Identifier: GPL-2.0-or-later
// A number that a parameter takes: its limits, and why they are what they are. A wrong value is
// told with all of that.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// `least` and `most` are allowed themselves; of a size they are bytes.
struct ParameterLimits {
  enum class Kind : std::uint8_t { count, size };
  Kind kind = Kind::count;
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::string_view reason;  ///< why not less or more: part of a sentence
};

/// The value that `text` stands for. invalid_argument names `name` (as the user knows it), the
/// text, the limits and the reason.
Result<std::uint64_t> parse_parameter(std::string_view name, std::string_view text,
                                      const ParameterLimits& limits);

/// "on" or "off". invalid_argument names `name` and the text.
Result<bool> parse_switch(std::string_view name, std::string_view text);

}  // namespace uvdo
