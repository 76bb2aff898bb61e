// SPDX-License-Identifier: GPL-2.0-or-later
// Locks that keep two programs from using one volume. What a killed program had under way goes on
// in the kernel for a moment, and keeps its lock until the last of it has ended: who comes next
// must not begin earlier, and should not give up meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace uvdo {

/// How long a lock of somebody else is waited for.
inline constexpr std::chrono::seconds kLockPatience{2};

/// One patience with all locks that are taken together, however many of them others have.
class LockPatience {
 public:
  explicit LockPatience(std::chrono::steady_clock::duration most = kLockPatience)
      : end_(std::chrono::steady_clock::now() + most) {}
  /// Asks `take` once, and again and again until it returns true or the patience is over.
  [[nodiscard]] bool take(const std::function<bool()>& take) const;

 private:
  std::chrono::steady_clock::time_point end_;
};

/// Locks the open file `fd` until it is closed; false if somebody else keeps it.
[[nodiscard]] bool lock_file(int fd, bool shared, const LockPatience& patience = LockPatience());

/// Gives back all locks of the open file, of either kind.
void unlock_file(int fd);

/// The same for `length` bytes from `start` on (UINT64_MAX: to the end, wherever that will be), by
/// a lock of the open file description (F_OFD_SETLK), which has nothing to do with that of
/// lock_file(). An exclusive one needs a file open for writing. File systems that have no such
/// locks are taken for free.
[[nodiscard]] bool lock_range(int fd, std::uint64_t start, std::uint64_t length, bool shared,
                              const LockPatience& patience = LockPatience());

}  // namespace uvdo
