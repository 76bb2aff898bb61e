// SPDX-License-Identifier: GPL-2.0-or-later
// Sizes as `vdo` reads and writes them: 10G, 128M, 2097152S; a number alone is megabytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// Whether a size may be given in sectors of 512 bytes.
enum class SectorSuffix : std::uint8_t { allowed, refused };

/// Bytes of a size: a whole or decimal number, and S B K M G T P or E in any case: sectors of 512
/// bytes, bytes, and powers of 1024; none: megabytes. invalid_argument says what is wrong.
Result<std::uint64_t> parse_vdo_size(std::string_view text, SectorSuffix sectors);

/// A whole number and the largest suffix with which it is exact: "10T", "3814697M", "100B"; "0M".
[[nodiscard]] std::string vdo_size_text(std::uint64_t bytes);

}  // namespace uvdo
