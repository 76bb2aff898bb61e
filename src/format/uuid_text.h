// SPDX-License-Identifier: GPL-2.0-or-later
// UUIDs as people write them.
#pragma once

#include <optional>
#include <string>

#include "format/uuid.h"

namespace uvdo {

/// "333438c0-e6b6-11f1-9fc9-4d2717b62a5c", in letters of either case; nothing if it is not of that
/// form.
[[nodiscard]] std::optional<Uuid> uuid_of(const std::string& text);

/// A random one.
[[nodiscard]] Uuid random_uuid();

}  // namespace uvdo
