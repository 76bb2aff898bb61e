// SPDX-License-Identifier: GPL-2.0-or-later
// When the system has no memory for a pool or a cache: the same end as that of operator new.
#pragma once

#include <new>

namespace uvdo {

/// Calls the program's new handler, which tells people and does not return; throws std::bad_alloc
/// if there is none. No coroutine lets an exception through.
[[noreturn]] inline void out_of_memory() {
  if (const std::new_handler handler = std::get_new_handler(); handler != nullptr) handler();
  throw std::bad_alloc();
}

}  // namespace uvdo
