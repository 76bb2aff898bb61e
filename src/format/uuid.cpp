// SPDX-License-Identifier: GPL-2.0-or-later
// The text form of a UUID.
#include "format/uuid.h"

#include <cstdint>

#include <fmt/core.h>

namespace uvdo {

std::string to_text(const Uuid& uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", std::to_integer<unsigned>(uuid[i]));
  }
  return text;
}

}  // namespace uvdo
