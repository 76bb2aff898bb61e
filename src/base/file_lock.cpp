// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file_lock.h"

#include <cerrno>
#include <thread>

#include <sys/file.h>

namespace uvdo {

bool take_patiently(const std::function<bool()>& take) {
  const auto end = std::chrono::steady_clock::now() + kLockPatience;
  while (true) {
    if (take()) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool lock_file(int fd, bool shared) {
  // Any other failure will not pass.
  int error = 0;
  const bool taken = take_patiently([&] {
    error = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 ? 0 : errno;
    return error != EWOULDBLOCK && error != EINTR;
  });
  return taken && error == 0;
}

}  // namespace uvdo
