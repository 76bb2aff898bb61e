// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo stats --watch: a line for each interval, as of iostat.
#pragma once

#include <cstdint>

#include "cli/rates_source.h"

namespace uvdo {

/// Prints until `count` lines are printed (0: until it is interrupted). The exit status.
int watch_statistics(const ServedVolume& served, double interval, std::uint64_t count);

}  // namespace uvdo
