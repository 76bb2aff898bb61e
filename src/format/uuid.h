// SPDX-License-Identifier: GPL-2.0-or-later
// The identity of a volume, as bytes in the order of its text form.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace uvdo {

using Uuid = std::array<std::byte, 16>;

/// The text form: "333438c0-e6b6-11f1-9fc9-4d2717b62a5c".
[[nodiscard]] std::string to_text(const Uuid& uuid);

}  // namespace uvdo
