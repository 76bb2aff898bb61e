// SPDX-License-Identifier: GPL-2.0-or-later
// Lets the processor fetch memory that will be used soon.
#pragma once

namespace uvdo {

/// Any address may be given. GCC takes a function that does nothing but __builtin_prefetch() for
/// one without effect, and removes its calls; the empty statement keeps it from that.
inline void prefetch(const void* address) {
  __builtin_prefetch(address);
  asm volatile("" : : "r"(address));
}

}  // namespace uvdo
