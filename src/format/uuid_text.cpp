// SPDX-License-Identifier: GPL-2.0-or-later
#include "format/uuid_text.h"

#include <uuid/uuid.h>

namespace uvdo {

std::optional<Uuid> uuid_of(const std::string& text) {
  Uuid uuid{};
  if (uuid_parse(text.c_str(), reinterpret_cast<unsigned char*>(uuid.data())) != 0) {
    return std::nullopt;
  }
  return uuid;
}

Uuid random_uuid() {
  Uuid uuid{};
  uuid_generate_random(reinterpret_cast<unsigned char*>(uuid.data()));
  return uuid;
}

}  // namespace uvdo
