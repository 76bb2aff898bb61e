// SPDX-License-Identifier: GPL-2.0-or-later
// Memory of coroutine frames: a free list for each size class and thread, filled from address space
// that is taken at once, so that requests allocate nothing. Under AddressSanitizer frames come from
// the heap instead, so that a use after free is seen.
#pragma once

#include <cstddef>

namespace uvdo {

/// Memory for a coroutine frame of `size` bytes; throws std::bad_alloc as operator new does.
[[nodiscard]] void* allocate_frame(std::size_t size);
/// Gives back what allocate_frame(size) returned; any thread may do so.
void free_frame(void* frame, std::size_t size) noexcept;

}  // namespace uvdo
