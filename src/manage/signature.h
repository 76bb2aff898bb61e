// SPDX-License-Identifier: GPL-2.0-or-later
// What a device holds already, so that nobody overwrites it by mistake.
#pragma once

#include <string>

#include "async/uring_loop.h"
#include "base/result.h"
#include "device/backing_store.h"

namespace uvdo {

/// What libblkid finds on a store ("an ext4 file system"); empty if it finds nothing. busy: another
/// one has its name by now. `loop` makes the store's requests.
Result<std::string> find_signature(UringLoop& loop, BackingStore& store);

}  // namespace uvdo
