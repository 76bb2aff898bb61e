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
inline constexpr std::chrono::seconds kLockPatience{3};

/// Asks `take` again and again until it returns true or kLockPatience is over.
[[nodiscard]] bool take_patiently(const std::function<bool()>& take);

/// Locks the open file `fd` until it is closed; false if somebody else keeps it.
[[nodiscard]] bool lock_file(int fd, bool shared);

/// The same for `length` bytes from `start` on (UINT64_MAX: to the end, wherever that will be), by
/// a lock of the open file description (F_OFD_SETLK), which has nothing to do with that of
/// lock_file(). An exclusive one needs a file open for writing. File systems that have no such
/// locks are taken for free.
[[nodiscard]] bool lock_range(int fd, std::uint64_t start, std::uint64_t length, bool shared);

}  // namespace uvdo
