// SPDX-License-Identifier: GPL-2.0-or-later
// Stopping the server of a volume.
#pragma once

#include "manage/served_volume.h"

namespace uvdo {

/// Returns when the volume has been saved and nobody uses it any more. An error tells why it could
/// not be saved; its server has ended all the same. not_found: nobody serves it; busy: somebody
/// uses a device of this machine that it has made, and `force` was not given: it goes on.
Result<void> stop_server(const ServedVolume& served, bool force = false);

}  // namespace uvdo
