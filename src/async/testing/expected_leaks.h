// SPDX-License-Identifier: GPL-2.0-or-later
// For tests in which a history is broken off: its coroutines never end, and what they hold is not
// to be reported as leaked.
#pragma once

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace uvdo::test {

/// What is allocated while it lives may leak.
class ExpectedLeaks {
 public:
#ifdef __SANITIZE_ADDRESS__
  ExpectedLeaks() { __lsan_disable(); }
  ~ExpectedLeaks() { __lsan_enable(); }
#else
  ExpectedLeaks() {}
#endif
  ExpectedLeaks(const ExpectedLeaks&) = delete;
  ExpectedLeaks& operator=(const ExpectedLeaks&) = delete;
};

}  // namespace uvdo::test
