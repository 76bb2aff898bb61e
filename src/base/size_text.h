// SPDX-License-Identifier: GPL-2.0-or-later
// Sizes as people write and read them: 10G, 512MiB, 4096; "1.5 GiB".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// Bytes of a size: a whole or decimal number and a unit. B, "bytes" or none: bytes; K M G T P E,
/// KiB MiB GiB TiB PiB EiB (any case): powers of 1024. KB, MB ... are refused, since they mean
/// different things to different people. invalid_argument says what is wrong.
Result<std::uint64_t> parse_size(std::string_view text);

/// Whether a size is written without a unit ("1024").
[[nodiscard]] bool has_no_unit(std::string_view text);

/// For people: "1.5 GiB", "512 bytes"; exact where one decimal is enough, rounded otherwise.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// The same, never rounded: in the largest unit that it is a whole number of, if one decimal is not
/// enough. Wherever a size may be typed again: parse_size() makes the same number of it.
[[nodiscard]] std::string exact_size_text(std::uint64_t bytes);

/// A number with its thousands apart: "1 234 567".
[[nodiscard]] std::string grouped(std::uint64_t number);

}  // namespace uvdo
