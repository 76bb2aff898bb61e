// SPDX-License-Identifier: GPL-2.0-or-later
// An error as replies of the control socket and --json tell it.
#pragma once

#include <optional>

#include "base/json.h"
#include "base/result.h"

namespace uvdo {

/// {"code": "not_found", "message": "..."}.
[[nodiscard]] Json error_json(const Error& error);

/// The error that such an object tells; nothing if it is none. A code that is unknown or missing
/// is io.
[[nodiscard]] std::optional<Error> error_in(const Json& json);

}  // namespace uvdo
