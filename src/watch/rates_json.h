// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume did between two looks, as JSON: a line of `uvdo stats --watch --json`.
#pragma once

#include "base/json.h"
#include "watch/rates.h"

namespace uvdo {

/// `now` is the later look of `rates`. Times are in seconds, latencies in microseconds, parts 0..1.
[[nodiscard]] Json to_json(const Rates& rates, const Snapshot& now);
/// Its "space": how much of the room for data is used, and when it is full.
[[nodiscard]] Json space_json(const Snapshot& now);

}  // namespace uvdo
