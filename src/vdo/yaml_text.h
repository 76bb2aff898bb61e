// SPDX-License-Identifier: GPL-2.0-or-later
// Texts as values of YAML.
#pragma once

#include <string>
#include <string_view>

namespace uvdo {

/// The text as a scalar of one line that reads back as this text: without quotes where that is so,
/// else in single ones, or, with control characters in it, in double ones.
[[nodiscard]] std::string yaml_scalar(std::string_view text);

}  // namespace uvdo
