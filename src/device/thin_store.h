// SPDX-License-Identifier: GPL-2.0-or-later
// Whether a store takes room of what lies beneath it as it is written, so that a discard gives some
// back to others.
#pragma once

#include "device/backing_store.h"

namespace uvdo {

/// Whether it is a sparse file, an image of Ceph, or a thin disk of the device-mapper, which only a
/// process with CAP_SYS_ADMIN can tell. False where that is not known: a file that has all of its
/// room was given it on purpose.
[[nodiscard]] bool is_thin(const BackingStore& store);

}  // namespace uvdo
