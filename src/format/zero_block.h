// SPDX-License-Identifier: GPL-2.0-or-later
// Finding blocks of zeros, which are never stored: their mapping is PBN 0 (volume.md, 1).
#pragma once

#include <cstddef>

namespace uvdo {

/// Whether the 4096 bytes at `block` (any alignment) are all zero. Stops at the first that isn't.
[[nodiscard]] bool is_zero_block(const std::byte* block);

}  // namespace uvdo
