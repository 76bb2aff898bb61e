// SPDX-License-Identifier: GPL-2.0-or-later
// What the command `vdo` ends with, and the failure of one of its operations.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace uvdo {

/// As vdo(8) numbers them.
enum class ExitStatus : int {
  success = 0,
  failure = 1,      ///< of no special kind
  usage = 2,        ///< wrong arguments, found before any work
  processing = 3,   ///< of no special kind, while the work was done
  wrong_state = 5,  ///< the volume is not in the state that the operation takes
  system = 6,       ///< the system refused an operation
  user = 7,         ///< the user asked for what cannot be: a name that is taken, or is not there
};

/// Why an operation failed. `cause` is what refused it has said, if anything else did: a line of
/// its own.
struct Failure {
  ExitStatus status = ExitStatus::failure;
  std::string message;
  std::string cause{};
};

/// Nothing: it is done.
using Outcome = std::optional<Failure>;

/// The failure of what another part has been asked for.
[[nodiscard]] inline Failure failure(ExitStatus status, std::string message, const Error& cause) {
  return {status, std::move(message), cause.message()};
}

}  // namespace uvdo
