// SPDX-License-Identifier: GPL-2.0-or-later
// The folders in which what runs for this user leaves its names: control sockets, and the locks of
// stores that are no files.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// /run/uvdo for root, else $XDG_RUNTIME_DIR/uvdo or /tmp/uvdo-UID.
[[nodiscard]] std::string run_folder();

/// Makes the folder, with mode 0700. An error if it exists and belongs to somebody else. For the
/// sentence: `what` it is for, and what else to do (`instead`, with a comma or "or" around it).
Result<void> make_run_folder(std::string_view what, std::string_view instead);

/// Of the locks of stores that are no files: /run/uvdo for root, else /run/user/UID/uvdo, or
/// /tmp/uvdo-UID where there is no /run/user/UID. No variable of the environment has a say: two
/// programs of one user with different ones would not see each other's locks.
[[nodiscard]] std::string lock_folder();
/// Makes it so, too.
Result<void> make_lock_folder();

}  // namespace uvdo
