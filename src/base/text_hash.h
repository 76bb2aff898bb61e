// SPDX-License-Identifier: GPL-2.0-or-later
// A number of a text, for names and marks that only have to differ (FNV-1a, 64 bits).
#pragma once

#include <cstdint>
#include <string_view>

namespace uvdo {

[[nodiscard]] constexpr std::uint64_t text_hash(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return hash;
}

}  // namespace uvdo
