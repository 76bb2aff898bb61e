// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo stats --watch: a line for each interval, as of iostat.
#pragma once

#include <cstdint>

#include "cli/rates_source.h"

namespace uvdo {

/// A table for people, or an object on each line for programs.
enum class WatchForm : std::uint8_t { text, json };

/// Prints until `count` lines are printed (0: until it is interrupted). The exit status.
int watch_statistics(const ServedVolume& served, double interval, std::uint64_t count,
                     WatchForm form);

}  // namespace uvdo
