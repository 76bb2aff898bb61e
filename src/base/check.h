// SPDX-License-Identifier: GPL-2.0-or-later
// Assertions that stay on in release builds. They guard invariants of the program; what comes
// from disk or from a peer is answered with an Error instead.
#pragma once

namespace uvdo {

/// Prints what was violated and where, then aborts: a crash is recoverable, wrong data is not.
[[noreturn]] void check_failed(const char* what, const char* file, unsigned line);

/// Aborts the process if `condition` is false. (Clang 14 has no std::source_location.)
constexpr void check(bool condition, const char* what, const char* file = __builtin_FILE(),
                     unsigned line = __builtin_LINE()) {
  if (!condition) [[unlikely]]
    check_failed(what, file, line);
}

}  // namespace uvdo
