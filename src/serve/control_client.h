// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the server of a volume something over its control socket; waits for the answer.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace uvdo {

/// The result of a request. not_found: nobody serves at `path`; else the server's own error.
Result<Json> ask_server(const std::string& path, Json request);

/// The same for the server of the volume at `volume`, at `path` if it is not empty, else where
/// such a server listens by default. not_found: the volume is not in use; busy: it is, but its user
/// does not answer there.
Result<Json> ask_volume(const std::string& volume, Json request, const std::string& path = {});

/// Waits until nobody uses the volume at `volume` any more, for some seconds at most.
void wait_until_free(const std::string& volume);

}  // namespace uvdo
