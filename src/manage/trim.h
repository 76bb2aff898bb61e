// SPDX-License-Identifier: GPL-2.0-or-later
// Discards the free blocks of a volume beneath it: through its server while it is in use, by itself
// otherwise.
#pragma once

#include "base/result.h"
#include "control/trim_message.h"
#include "manage/obstacle.h"
#include "manage/served_volume.h"

namespace uvdo {

/// Of a volume that nobody serves its metadata are checked first, under its lock, and not a byte of
/// them is changed. corrupt: they contradict each other, and nothing was discarded; busy: it is not
/// clean, so that its next start decides what is free; unsupported: the file or device cannot.
Result<TrimAnswer> trim_volume(const ServedVolume& volume);

}  // namespace uvdo
