// SPDX-License-Identifier: GPL-2.0-or-later
// JSON as text, for long answers: other clients have their turns between its parts.
#pragma once

#include <string>

#include "async/executor.h"
#include "async/task.h"
#include "base/json.h"

namespace uvdo {

/// json_text() of `json`, which is taken apart on the way.
Task<std::string> json_text_in_turns(Executor& executor, Json json);

}  // namespace uvdo
