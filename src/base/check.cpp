// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace uvdo {

void check_failed(const char* what, const char* file, unsigned line) {
  std::fprintf(stderr, "uvdo: internal error: %s (%s:%u)\n", what, file, line);
  std::abort();
}

}  // namespace uvdo
