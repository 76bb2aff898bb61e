// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/process_memory.h"

#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/size_text.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace uvdo {

void declare_io_flusher() {
  // Without it all is well as long as the machine does not run out of memory.
  [[maybe_unused]] const int ignored = prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

void allow_locked_memory() {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  [[maybe_unused]] const int told_by_lock_memory = setrlimit(RLIMIT_MEMLOCK, &all);
}

Result<void> lock_memory(std::uint64_t needed) {
  if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0) return {};
  const int error = errno;
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  // Without a limit it is the machine that has not got so much; otherwise the limit is told.
  if (limit.rlim_cur == RLIM_INFINITY || (error != ENOMEM && error != EPERM)) {
    return Error(Errc::no_memory, fmt::format("--lock-memory: {} of memory cannot be locked: {}",
                                              size_text(needed), std::strerror(error)));
  }
  return Error(Errc::no_memory,
               fmt::format("--lock-memory needs to lock {}, but this user may lock {}: raise the "
                           "limit (ulimit -l, LimitMEMLOCK=) or give the program CAP_IPC_LOCK",
                           size_text(needed), size_text(limit.rlim_cur)));
}

}  // namespace uvdo
