// SPDX-License-Identifier: GPL-2.0-or-later
// A thread that nobody waits for, because it may be stuck in a call into the kernel for ever.
#pragma once

#include <functional>

#include "base/result.h"

namespace uvdo {

/// Runs `body`, which owns all that it uses, in a thread with a small stack that takes no signals.
/// `name`: 15 bytes at most, as tools show it.
Result<void> start_detached_thread(const char* name, std::function<void()> body);

}  // namespace uvdo
