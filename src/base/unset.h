// SPDX-License-Identifier: GPL-2.0-or-later
// Compilers clear variables that nobody sets (cmake/hardening.cmake). UVDO_UNSET before the
// declaration of a large array on a path that is taken often says that it is written as far as it
// is read, and spares that time.
#pragma once

#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UVDO_UNSET __attribute__((uninitialized))
#endif
#endif
#ifndef UVDO_UNSET
#define UVDO_UNSET
#endif
