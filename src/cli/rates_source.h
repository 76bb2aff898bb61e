// SPDX-License-Identifier: GPL-2.0-or-later
// Takes snapshots of a served volume for those who watch it.
#pragma once

#include <string>

#include "manage/served_volume.h"
#include "watch/rates.h"

namespace uvdo {

/// Statistics and activity of the volume now, from its server.
Result<Snapshot> take_snapshot(const ServedVolume& served);

/// "850", "12.3k", "1.2M": four characters or five.
[[nodiscard]] std::string short_number(double number);
/// The same for bytes: "4.0K", "1.5G", by 1024.
[[nodiscard]] std::string short_bytes(double bytes);
/// Microseconds as "85us", "1.2ms", "3.4s"; "-" if there is nothing to tell.
[[nodiscard]] std::string short_time(double microseconds);

/// Seconds between two looks: a decimal number from 0.1 to 3600.
Result<double> parse_interval(const std::string& text);

/// Waits for `seconds`, or until a key is pressed where stdin is a terminal in raw mode (`keys`).
/// The key, or 0.
char wait_for_key(double seconds, bool keys);

}  // namespace uvdo
