// SPDX-License-Identifier: GPL-2.0-or-later
// A server whose clients may be the machine's own swap or file systems must not wait for memory
// that only its own work can set free.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace uvdo {

/// Tells the kernel that this thread, and all that it starts, write what others want to get rid of
/// (PR_SET_IO_FLUSHER), where that is known and allowed (CAP_SYS_RESOURCE).
void declare_io_flusher();

/// For a process that is about to give up the rights of root: it may lock memory further on.
void allow_locked_memory();

/// Keeps all memory of the process, now and later, from being paged out. no_memory: `needed` bytes
/// are not allowed to be locked.
Result<void> lock_memory(std::uint64_t needed);

}  // namespace uvdo
