// SPDX-License-Identifier: GPL-2.0-or-later
// An error as answers of the control socket and --json tell it.
#pragma once

#include "base/json.h"
#include "base/result.h"

namespace uvdo {

/// {"code": "not_found", "message": "..."}.
inline Json error_json(const Error& error) {
  return {{"code", std::string(name_of(error.code()))}, {"message", error.message()}};
}

}  // namespace uvdo
