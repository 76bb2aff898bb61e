// SPDX-License-Identifier: GPL-2.0-or-later
// Assertions that stay on in release builds. They guard invariants of the program; what comes
// from disk or from a peer is answered with an Error instead.
#pragma once

#include <source_location>

namespace uvdo {

/// Prints what was violated and where, then aborts: a crash is recoverable, wrong data is not.
[[noreturn]] void check_failed(const char* what, const std::source_location& where);

/// Aborts the process if `condition` is false.
constexpr void check(bool condition, const char* what,
                     const std::source_location& where = std::source_location::current()) {
  if (!condition) [[unlikely]] check_failed(what, where);
}

}  // namespace uvdo
