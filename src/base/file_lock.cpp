// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file_lock.h"

#include <cerrno>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>

namespace uvdo {

bool LockPatience::take(const std::function<bool()>& take) const {
  while (true) {
    if (take()) return true;
    if (std::chrono::steady_clock::now() > end_) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool lock_file(int fd, bool shared, const LockPatience& patience) {
  // Any other failure will not pass.
  int error = 0;
  const bool taken = patience.take([&] {
    error = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 ? 0 : errno;
    return error != EWOULDBLOCK && error != EINTR;
  });
  return taken && error == 0;
}

bool lock_range(int fd, std::uint64_t start, std::uint64_t length, bool shared,
                const LockPatience& patience) {
  constexpr std::uint64_t kLast = INT64_MAX;
  if (start > kLast || length == 0) return true;
  struct flock range {};
  range.l_type = shared ? F_RDLCK : F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(start);
  range.l_len = length > kLast - start ? 0 : static_cast<off_t>(length);  // 0: to the end
  // Any other failure means that this file system has no such locks.
  return patience.take([&] {
    return fcntl(fd, F_OFD_SETLK, &range) == 0 ||
           (errno != EAGAIN && errno != EACCES && errno != EINTR);
  });
}

void unlock_file(int fd) {
  flock(fd, LOCK_UN);
  struct flock range {};
  range.l_type = F_UNLCK;
  range.l_whence = SEEK_SET;
  fcntl(fd, F_OFD_SETLK, &range);
}

}  // namespace uvdo
