// SPDX-License-Identifier: GPL-2.0-or-later
// Different data with equal record names: MurmurHash3 is no cryptographic hash.
#pragma once

#include "base/bytes.h"

namespace uvdo::sim {

/// Changes the first 32 of the 4096 bytes of `block` so that its record name stays what it is.
void make_colliding(MutableBytes block);

}  // namespace uvdo::sim
