// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the server of a volume something over its control socket; waits for the answer.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace uvdo {

/// The result of a request. not_found: nobody serves at `path`; else the server's own error.
Result<nlohmann::ordered_json> ask_server(const std::string& path, nlohmann::ordered_json request);

/// The same for the server of the volume at `volume`.
Result<nlohmann::ordered_json> ask_volume(const std::string& volume,
                                          nlohmann::ordered_json request);

}  // namespace uvdo
