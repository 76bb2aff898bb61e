// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace uvdo {

void check_failed(const char* what, const std::source_location& where) {
  std::fprintf(stderr, "uvdo: internal error: %s (%s:%u)\n", what, where.file_name(),
               static_cast<unsigned>(where.line()));
  std::abort();
}

}  // namespace uvdo
